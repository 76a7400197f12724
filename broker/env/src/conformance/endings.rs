//! How connections end, and what still arrives.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::network::pair;
use super::{Sites, checks_of, soon};

checks_of!("network": a_dropped_end_is_an_end_of_stream, bytes_before_the_end_arrive, shutdown_ends_one_direction_only, writing_to_a_gone_peer_fails);

async fn a_dropped_end_is_an_end_of_stream(sites: Sites) {
    let (server, mut client) = pair(&sites).await;
    drop(server);
    let mut bytes = [0; 10];
    let end = soon(&sites.client.env, "the end", client.read(&mut bytes)).await;
    assert_eq!(end.expect("an end, not a reset: nothing was unread"), 0);
    let (server, client) = pair(&sites).await;
    drop(client);
    let (mut reader, _writer) = tokio::io::split(server);
    let end = soon(&sites.server.env, "the end", reader.read(&mut bytes)).await;
    assert_eq!(end.expect("an end, not a reset: nothing was unread"), 0);
}

async fn bytes_before_the_end_arrive(sites: Sites) {
    let (mut server, mut client) = pair(&sites).await;
    client
        .write_all(b"last words")
        .await
        .expect("an open connection");
    client.flush().await.expect("an open connection");
    drop(client);
    let mut all = Vec::new();
    soon(&sites.server.env, "the end", server.read_to_end(&mut all))
        .await
        .expect("an end, not a reset");
    assert_eq!(all, b"last words");
}

async fn shutdown_ends_one_direction_only(sites: Sites) {
    let (mut server, mut client) = pair(&sites).await;
    let exchange = async {
        client
            .write_all(b"question")
            .await
            .expect("an open connection");
        client.shutdown().await.expect("an open connection");
        let mut all = Vec::new();
        server
            .read_to_end(&mut all)
            .await
            .expect("the end of the question");
        assert_eq!(all, b"question");
        server
            .write_all(b"answer")
            .await
            .expect("the other direction is open");
        server
            .shutdown()
            .await
            .expect("the other direction is open");
        all.clear();
        client
            .read_to_end(&mut all)
            .await
            .expect("the end of the answer");
        assert_eq!(all, b"answer");
        let error = client.write_all(b"more").await.expect_err("after shutdown");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    };
    soon(&sites.client.env, "question and answer", exchange).await;
}

async fn writing_to_a_gone_peer_fails(sites: Sites) {
    let (server, mut client) = pair(&sites).await;
    drop(server);
    let write = async {
        loop {
            let written = client.write_all(&[1; 100]).await;
            if let Err(error) = written.and(client.flush().await) {
                return error.kind();
            }
            sites.client.env.sleep(Duration::from_millis(5)).await;
        }
    };
    let kind = soon(&sites.client.env, "an error", write).await;
    let expected = [
        ErrorKind::BrokenPipe,
        ErrorKind::ConnectionReset,
        ErrorKind::ConnectionAborted,
    ];
    assert!(expected.contains(&kind), "{kind:?}");
}
