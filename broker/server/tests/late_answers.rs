//! Answers of every inter-broker API that come late, twice or to another request: none is taken for the next one's.

use std::fmt::Debug;
use std::sync::mpsc;
use std::time::Duration;

use broker_env::{Address, Env};
use broker_protocol::Request;
use broker_protocol::api as wire;
use broker_protocol::frame::{decode_request, encode_response};
use broker_protocol::header::peek;
use broker_server::peer::{CallError, Peer};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(10);
/// For answers that are not to come in time.
const SHORT: Duration = Duration::from_millis(30);

/// What the other side does with a request.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Answers,
    /// The same frame again.
    AnswersTwice,
    /// Only once the test says so.
    AnswersLate,
    /// To the request before this one.
    AnswersThePast,
    /// Half an answer, then the end.
    EndsInside,
    /// A frame whose size nobody would send.
    Oversized,
}

/// Marks answers, so that one cannot be taken for another.
type Numbered<R> = fn(i32) -> <R as Request>::Response;

async fn request<R: Request>(stream: &mut TcpStream, version: i16) -> Option<i32> {
    let size = stream.read_u32().await.ok()?;
    let mut frame = vec![0; usize::try_from(size).expect("a small request")];
    stream.read_exact(&mut frame).await.ok()?;
    let frame = Bytes::from(frame);
    assert_eq!(
        peek(&frame).expect("a header").api_key,
        R::API_KEY.code(),
        "another API"
    );
    let (header, _) = decode_request::<R>(frame, version).expect("a request of this version");
    Some(header.correlation_id)
}

/// Serves connections one after the other; request number n of all is treated in the n-th manner and its answer is
/// marked n.
async fn serve<R: Request>(
    listener: TcpListener,
    version: i16,
    answer: Numbered<R>,
    manners: Vec<Manner>,
    late: mpsc::Receiver<()>,
) {
    let mut manners = (0..).zip(manners);
    let mut held: Option<(TcpStream, Bytes)> = None;
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        while let Some(correlation_id) = request::<R>(&mut stream, version).await {
            let (number, manner) = manners.next().expect("no more requests than manners");
            let frame = |correlation_id| {
                let frame = encode_response::<R>(&answer(number), version, correlation_id);
                frame.expect("an answer of this version").freeze()
            };
            let whole = frame(correlation_id);
            let bytes = match manner {
                Manner::Answers => whole,
                Manner::AnswersTwice => [whole.clone(), whole].concat().into(),
                Manner::AnswersThePast => frame(correlation_id - 1),
                Manner::EndsInside => whole.slice(..whole.len() - 1),
                Manner::Oversized => Bytes::copy_from_slice(&i32::MAX.to_be_bytes()),
                Manner::AnswersLate => {
                    held = Some((stream, whole));
                    break;
                }
            };
            if let Some((mut stream, bytes)) = held.take() {
                late.recv().expect("the test says when");
                // The other side may have given the connection up.
                let _either_way = stream.write_all(&bytes).await;
            }
            stream.write_all(&bytes).await.expect("the caller waits");
            if matches!(manner, Manner::EndsInside) {
                break;
            }
        }
    }
}

/// Calls through one peer; the marks of the answers it got, or why there was none.
struct Line<R: Request> {
    runtime: Runtime,
    peer: Peer,
    version: i16,
    request: R,
    late: mpsc::Sender<()>,
}

impl<R: Request + Default + 'static> Line<R>
where
    R::Response: Send + PartialEq + Debug,
{
    fn open(version: i16, answer: Numbered<R>, manners: &[Manner]) -> Line<R> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime starts");
        let env: Env = broker_env::production::env_on(runtime.handle());
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)));
        let listener = listener.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (late, told) = mpsc::channel();
        runtime.spawn(serve::<R>(
            listener,
            version,
            answer,
            manners.to_vec(),
            told,
        ));
        Line {
            runtime,
            peer: Peer::new(env, Address::new("127.0.0.1", port), "test".into()),
            version,
            request: R::default(),
            late,
        }
    }

    fn call(&mut self, limit: Duration) -> Result<R::Response, CallError> {
        let call = self.peer.call(&self.request, self.version, limit);
        self.runtime.block_on(call)
    }
}

fn each_answer_is_its_requests<R: Request + Default + 'static>(version: i16, answer: Numbered<R>)
where
    R::Response: Send + PartialEq + Debug,
{
    let api = R::API_KEY;
    assert_ne!(answer(0), answer(1), "{api}: the marks tell answers apart");

    let mut line = Line::<R>::open(version, answer, &[Manner::Answers, Manner::Answers]);
    assert_eq!(line.call(LIMIT).expect("answered"), answer(0), "{api}");
    assert_eq!(line.call(LIMIT).expect("answered"), answer(1), "{api}");

    // The second copy meets the next request: it must not count, and the one after that starts afresh.
    let twice = [Manner::AnswersTwice, Manner::Answers, Manner::Answers];
    let mut line = Line::<R>::open(version, answer, &twice);
    assert_eq!(line.call(LIMIT).expect("answered"), answer(0), "{api}");
    let refused = line.call(LIMIT);
    assert!(
        matches!(refused, Err(CallError::Correlation { .. })),
        "{api}: {refused:?}"
    );
    assert_ne!(line.call(LIMIT).expect("answered"), answer(0), "{api}");

    let mut line = Line::<R>::open(version, answer, &[Manner::AnswersLate, Manner::Answers]);
    let late = line.call(SHORT);
    assert!(
        matches!(late, Err(CallError::Timeout(_))),
        "{api}: {late:?}"
    );
    line.late.send(()).expect("the other side waits");
    assert_eq!(line.call(LIMIT).expect("answered"), answer(1), "{api}");

    for manner in [
        Manner::AnswersThePast,
        Manner::EndsInside,
        Manner::Oversized,
    ] {
        let mut line = Line::<R>::open(version, answer, &[manner, Manner::Answers]);
        let refused = line.call(LIMIT);
        let expected = matches!(
            (manner, &refused),
            (Manner::AnswersThePast, Err(CallError::Correlation { .. }))
                | (Manner::EndsInside, Err(CallError::Closed))
                | (Manner::Oversized, Err(CallError::Frame(_)))
        );
        assert!(expected, "{api} {manner:?}: {refused:?}");
        assert_eq!(
            line.call(LIMIT).expect("answered"),
            answer(1),
            "{api} {manner:?}"
        );
    }
}

/// The API whose answers are marked by these fields, which end in an expression of the mark.
macro_rules! answers_of {
    ($test:ident, $request:ident, $response:ident, $version:expr, |$mark:ident| { $($field:ident : $value:expr),+ }) => {
        #[test]
        fn $test() {
            each_answer_is_its_requests::<wire::$request>($version, |$mark| wire::$response {
                $($field: $value,)+
                ..Default::default()
            });
        }
    };
}

answers_of!(alter_partition, AlterPartitionRequest, AlterPartitionResponse, 3, |mark| { throttle_time_ms: mark });
answers_of!(assign_replicas_to_dirs, AssignReplicasToDirsRequest, AssignReplicasToDirsResponse, 0, |mark| { throttle_time_ms: mark });
answers_of!(broker_registration, BrokerRegistrationRequest, BrokerRegistrationResponse, 4, |mark| { broker_epoch: i64::from(mark) });
answers_of!(broker_heartbeat, BrokerHeartbeatRequest, BrokerHeartbeatResponse, 1, |mark| { throttle_time_ms: mark });
answers_of!(controller_registration, ControllerRegistrationRequest, ControllerRegistrationResponse, 0, |mark| { throttle_time_ms: mark });
answers_of!(allocate_producer_ids, AllocateProducerIdsRequest, AllocateProducerIdsResponse, 0, |mark| { producer_id_start: i64::from(mark) });
answers_of!(envelope, EnvelopeRequest, EnvelopeResponse, 0, |mark| { response_data: Some(Bytes::copy_from_slice(&mark.to_be_bytes())) });
answers_of!(fetch, FetchRequest, FetchResponse, 13, |mark| { session_id: mark });
answers_of!(offset_for_leader_epoch, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, 4, |mark| { throttle_time_ms: mark });
answers_of!(add_partitions_to_txn, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, 5, |mark| { throttle_time_ms: mark });
answers_of!(update_raft_voter, UpdateRaftVoterRequest, UpdateRaftVoterResponse, 0, |mark| { throttle_time_ms: mark });
answers_of!(fetch_snapshot, FetchSnapshotRequest, FetchSnapshotResponse, 1, |mark| { throttle_time_ms: mark });
answers_of!(vote, VoteRequest, VoteResponse, 2, |mark| { error_code: code(mark) });
answers_of!(begin_quorum_epoch, BeginQuorumEpochRequest, BeginQuorumEpochResponse, 1, |mark| { error_code: code(mark) });
answers_of!(end_quorum_epoch, EndQuorumEpochRequest, EndQuorumEpochResponse, 1, |mark| { error_code: code(mark) });
answers_of!(write_txn_markers, WriteTxnMarkersRequest, WriteTxnMarkersResponse, 1, |mark| {
    markers: vec![wire::WritableTxnMarkerResult { producer_id: i64::from(mark), ..Default::default() }]
});

fn code(mark: i32) -> i16 {
    i16::try_from(mark).expect("few requests")
}
