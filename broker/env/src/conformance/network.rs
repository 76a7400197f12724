//! Reliable ordered byte streams, with their beginnings and ends.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::{Site, Sites, checks_of, never, soon};
use crate::{Address, BoxConnection, Listener, NetworkError};

checks_of!("network":
    a_listener_tells_its_port, a_used_port_is_refused_until_free, nobody_listens_nobody_answers,
    peers_are_named, bytes_arrive_whole_and_in_order, both_directions_flow_at_once, flushed_bytes_need_no_more_bytes,
    each_connection_is_its_own,  a_full_stream_makes_its_writer_wait,
    a_closed_listener_refuses, connections_outlive_their_listener, vectored_writes_arrive);

async fn listen(site: &Site) -> Box<dyn Listener> {
    let address = Address::new(site.host.clone(), 0);
    soon(&site.env, "listen", site.env.network.listen(&address))
        .await
        .expect("a free port")
}

async fn connect(site: &Site, address: &Address) -> BoxConnection {
    soon(&site.env, "connect", site.env.network.connect(address))
        .await
        .expect("somebody listens")
}

/// A connection: the server's end, then the client's.
pub(super) async fn pair(sites: &Sites) -> (BoxConnection, BoxConnection) {
    let mut listener = listen(&sites.server).await;
    pair_on(sites, listener.as_mut()).await
}

async fn pair_on(sites: &Sites, listener: &mut dyn Listener) -> (BoxConnection, BoxConnection) {
    let address = listener.address();
    let (client_site, (sender, receiver)) = (sites.client.clone(), oneshot::channel());
    sites.client.env.spawn("connect", async move {
        let _gone = sender.send(connect(&client_site, &address).await);
    });
    let accepted = soon(&sites.server.env, "accept", listener.accept()).await;
    let (server, _) = accepted.expect("a healthy listener");
    let client = soon(&sites.client.env, "the connect task", receiver)
        .await
        .expect("it connects");
    (server, client)
}

fn pattern(length: usize, salt: usize) -> Vec<u8> {
    (0..length)
        .map(|position| {
            u8::try_from((position * 7 + position / 251 + salt) % 256).expect("below 256")
        })
        .collect()
}

async fn a_listener_tells_its_port(sites: Sites) {
    let listener = listen(&sites.server).await;
    let address = listener.address();
    assert_eq!(address.host, sites.server.host);
    assert_ne!(address.port, 0, "the real port");
    let other = listen(&sites.server).await;
    assert_ne!(other.address(), address, "each its own");
}

async fn a_used_port_is_refused_until_free(sites: Sites) {
    let listener = listen(&sites.server).await;
    let address = listener.address();
    let env = &sites.server.env;
    let second = soon(env, "listen", env.network.listen(&address)).await;
    assert!(
        matches!(second, Err(NetworkError::Listen { .. })),
        "two listeners on {address}"
    );
    drop(listener);
    soon(env, "listen", env.network.listen(&address))
        .await
        .expect("free again");
}

async fn nobody_listens_nobody_answers(sites: Sites) {
    let listener = listen(&sites.server).await;
    let address = listener.address();
    drop(listener);
    let refused = soon(
        &sites.client.env,
        "a refusal",
        sites.client.env.network.connect(&address),
    )
    .await;
    let Err(NetworkError::Connect { address: named, .. }) = refused else {
        panic!("connected to nobody")
    };
    assert_eq!(named, address);
}

async fn a_closed_listener_refuses(sites: Sites) {
    let mut listener = listen(&sites.server).await;
    let address = listener.address();
    drop(pair_on(&sites, listener.as_mut()).await);
    drop(listener);
    let env = &sites.client.env;
    soon(env, "a refusal", env.network.connect(&address))
        .await
        .err()
        .expect("nobody listens any more");
}

async fn connections_outlive_their_listener(sites: Sites) {
    // `pair` drops its listener.
    let (mut server, mut client) = pair(&sites).await;
    let exchange = async {
        client.write_all(b"ping").await.expect("an open connection");
        client.flush().await.expect("an open connection");
        let mut bytes = [0; 4];
        server.read_exact(&mut bytes).await.expect("four bytes");
        assert_eq!(&bytes, b"ping");
    };
    soon(&sites.client.env, "an exchange", exchange).await;
}

async fn peers_are_named(sites: Sites) {
    let mut listener = listen(&sites.server).await;
    let address = listener.address();
    let client = sites.client.clone();
    sites.client.env.spawn("connect", async move {
        let connection = connect(&client, &address).await;
        client.env.sleep(Duration::from_secs(1)).await;
        drop(connection);
    });
    let (_connection, peer) = soon(&sites.server.env, "accept", listener.accept())
        .await
        .expect("a healthy listener");
    assert!(!peer.is_empty());
}

async fn bytes_arrive_whole_and_in_order(sites: Sites) {
    let (mut server, mut client) = pair(&sites).await;
    let sent = pattern(600_000, 1);
    let expected = sent.clone();
    let (sender, received) = oneshot::channel();
    sites.server.env.spawn("read", async move {
        let mut all = Vec::new();
        server.read_to_end(&mut all).await.expect("no reset");
        let _gone = sender.send(all);
    });
    let write = async {
        let mut rest = sent.as_slice();
        for length in [1, 2, 3, 1_000, 65_536, 17].into_iter().cycle() {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            client.write_all(piece).await.expect("an open connection");
            client.flush().await.expect("an open connection");
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        client.shutdown().await.expect("an open connection");
    };
    soon(&sites.client.env, "all is written", write).await;
    let all = soon(&sites.client.env, "all is read", received)
        .await
        .expect("the reader ends");
    assert!(
        all == expected,
        "{} of {} bytes, or others",
        all.len(),
        expected.len()
    );
}

async fn both_directions_flow_at_once(sites: Sites) {
    let (server, client) = pair(&sites).await;
    let (mut finished, mut done) = (Vec::new(), Vec::new());
    for (site, connection, salt) in [(&sites.server, server, 1), (&sites.client, client, 2)] {
        let (mut reader, mut writer) = tokio::io::split(connection);
        let (sender, receiver) = oneshot::channel();
        site.env.spawn("read", async move {
            let mut bytes = vec![0; 200_000];
            reader
                .read_exact(&mut bytes)
                .await
                .expect("the peer's bytes");
            let _gone = sender.send((bytes == pattern(200_000, 3 - salt), reader));
        });
        finished.push(receiver);
        let (sender, receiver) = oneshot::channel();
        site.env.spawn("write", async move {
            for piece in pattern(200_000, salt).chunks(5_000) {
                writer.write_all(piece).await.expect("an open connection");
                writer.flush().await.expect("an open connection");
            }
            let _gone = sender.send(writer);
        });
        done.push(receiver);
    }
    for receiver in finished {
        let (equal, _reader) = soon(&sites.client.env, "a reader ends", receiver)
            .await
            .expect("no panic");
        assert!(equal, "other bytes than were sent");
    }
}

async fn flushed_bytes_need_no_more_bytes(sites: Sites) {
    let (mut server, mut client) = pair(&sites).await;
    let exchange = async {
        for round in 0..50_u8 {
            client
                .write_all(&[round])
                .await
                .expect("an open connection");
            client.flush().await.expect("an open connection");
            assert_eq!(server.read_u8().await.expect("one byte"), round);
            server
                .write_all(&[round, round])
                .await
                .expect("an open connection");
            server.flush().await.expect("an open connection");
            assert_eq!(
                client.read_u16().await.expect("two bytes"),
                u16::from(round) * 257
            );
        }
    };
    soon(&sites.client.env, "fifty rounds", exchange).await;
}

async fn each_connection_is_its_own(sites: Sites) {
    let mut listener = listen(&sites.server).await;
    let address = listener.address();
    let mut answers = Vec::new();
    for number in 0..20_u8 {
        let (client, address, (sender, receiver)) =
            (sites.client.clone(), address.clone(), oneshot::channel());
        sites.client.env.spawn("client", async move {
            let mut connection = connect(&client, &address).await;
            connection
                .write_all(&[number; 100])
                .await
                .expect("an open connection");
            connection.flush().await.expect("an open connection");
            let mut echo = [0; 100];
            connection.read_exact(&mut echo).await.expect("the echo");
            let _gone = sender.send(echo == [number; 100]);
        });
        answers.push(receiver);
    }
    for _ in 0..20 {
        let (mut connection, _) = soon(&sites.server.env, "accept", listener.accept())
            .await
            .expect("healthy");
        sites.server.env.spawn("echo", async move {
            let mut bytes = [0; 100];
            connection.read_exact(&mut bytes).await.expect("a request");
            connection
                .write_all(&bytes)
                .await
                .expect("an open connection");
            connection.flush().await.expect("an open connection");
            // The client closes first.
            let _end = connection.read_u8().await;
        });
    }
    for answer in answers {
        assert_eq!(soon(&sites.client.env, "an echo", answer).await, Ok(true));
    }
}

async fn a_full_stream_makes_its_writer_wait(sites: Sites) {
    const MORE_THAN_ANY_BUFFER: usize = 64 << 20;
    let (mut server, client) = pair(&sites).await;
    let (sender, mut written) = oneshot::channel();
    sites.client.env.spawn("write", async move {
        let mut client = client;
        for _ in 0..MORE_THAN_ANY_BUFFER / 65_536 {
            if client.write_all(&[5; 65_536]).await.is_err() {
                return;
            }
        }
        client.flush().await.expect("an open connection");
        let _gone = sender.send(client);
    });
    never(
        &sites.client.env,
        "64 MiB are written that nobody reads",
        &mut written,
    )
    .await;
    let mut buffer = vec![0; 1 << 20];
    let mut left = MORE_THAN_ANY_BUFFER;
    while left > 0 {
        let count = soon(&sites.server.env, "more bytes", server.read(&mut buffer))
            .await
            .expect("no reset");
        assert!(count > 0 && buffer[..count].iter().all(|byte| *byte == 5));
        left -= count;
    }
    drop(
        soon(&sites.client.env, "the writer ends", written)
            .await
            .expect("no panic"),
    );
}

async fn vectored_writes_arrive(sites: Sites) {
    let (mut server, mut client) = pair(&sites).await;
    let pieces = [
        std::io::IoSlice::new(b"head"),
        std::io::IoSlice::new(b"body"),
    ];
    let exchange = async {
        let count = client
            .write_vectored(&pieces)
            .await
            .expect("an open connection");
        client.flush().await.expect("an open connection");
        let mut bytes = vec![0; count];
        server
            .read_exact(&mut bytes)
            .await
            .expect("what was written");
        assert_eq!(bytes, b"headbody"[..count]);
        assert!(count > 0);
    };
    soon(&sites.client.env, "an exchange", exchange).await;
}
