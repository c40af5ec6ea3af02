//! Starting, changing settings, stopping.

use std::sync::Arc;
use std::time::Duration;

use pgherd_rest::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::stand::{LIMIT, Stand, settings};

#[tokio::test]
async fn an_address_in_use_is_an_error_that_says_what_to_do() {
    let stand = Stand::start().await;
    let mut settings = settings();
    let port = stand.url.rsplit(':').next().unwrap().parse().unwrap();
    settings.changing.restapi.listen.port = port;
    let error = Server::bind(Arc::new(settings)).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&format!("127.0.0.1:{port}")) && text.contains("restapi.listen"),
        "{text}"
    );
}

#[tokio::test]
async fn a_changed_address_is_listened_on_instead() {
    let mut stand = Stand::leading().await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut settings = (*stand.settings).clone();
    settings.changing.restapi.listen.port = address.port();
    stand.settings = Arc::new(settings);
    stand.show(&stand.sample());
    let there = async { while TcpStream::connect(address).await.is_err() {} };
    tokio::time::timeout(LIMIT, there).await.unwrap();
    stand.url = format!("http://{address}");
    assert_eq!(stand.get("/primary").await.0, 200);
}

#[tokio::test]
async fn settings_that_can_not_be_had_keep_the_old_ones() {
    let mut stand = Stand::leading().await;
    let mut settings = (*stand.settings).clone();
    settings.changing.restapi.certfile = Some("/no/such/file".into());
    settings.changing.restapi.server_tokens = "productonly".into();
    stand.settings = Arc::new(settings);
    stand.show(&stand.sample());
    let renewed = async {
        let url = format!("{}/health", stand.url);
        while stand.http.get(&url).send().await.unwrap().headers()["server"] != "Patroni" {}
    };
    tokio::time::timeout(LIMIT, renewed).await.unwrap();
}

#[tokio::test]
async fn stopping_lets_a_running_request_end() {
    let mut stand = Stand::leading().await;
    let url = format!("{}/restart", stand.url);
    let request = tokio::spawn(crate::stand::answer(stand.http.post(url)));
    let asked = tokio::time::timeout(LIMIT, stand.requests.recv())
        .await
        .unwrap()
        .unwrap();
    stand.stop.take().unwrap().send(()).unwrap();
    asked
        .reply
        .send(pgherd_domain::Answer::Done("ok".to_owned()))
        .unwrap();
    assert_eq!(request.await.unwrap(), (200, "ok".to_owned()));
    tokio::time::timeout(LIMIT, stand.server)
        .await
        .unwrap()
        .unwrap();
    assert!(stand.http.get(&stand.url).send().await.is_err());
}

#[tokio::test]
async fn a_connection_serves_many_requests_and_garbage_ends_it() {
    let stand = Stand::leading().await;
    let address = stand.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut read = vec![0; 4_096];
    for _ in 0..3 {
        stream
            .write_all(b"HEAD /primary HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let count = stream.read(&mut read).await.unwrap();
        assert!(read[..count].starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
    stream
        .write_all(b"OPTIONS /replica HTTP/1.0\r\n\r\n")
        .await
        .unwrap();
    let count = stream.read(&mut read).await.unwrap();
    let text = String::from_utf8_lossy(&read[..count]).into_owned();
    assert!(
        text.starts_with("HTTP/1.0 503 Service Unavailable\r\n"),
        "{text}"
    );

    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"\x16\x03\x01 not HTTP\r\n\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest))
        .await
        .unwrap()
        .unwrap();
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 400"),
        "{rest:?}"
    );
}

#[tokio::test]
async fn a_loop_that_stands_still_is_not_alive() {
    let stand = Stand::leading().await;
    assert_eq!(stand.get("/liveness").await.0, 200);
    stand.clock.pass(Duration::from_secs(41));
    assert_eq!(stand.get("/liveness").await.0, 503);
}

#[tokio::test]
async fn connections_of_one_address_do_not_shut_others_out() {
    let stand = Stand::leading().await;
    let address: std::net::SocketAddr = stand.url.strip_prefix("http://").unwrap().parse().unwrap();
    let mut greedy = Vec::new();
    for _ in 0..600 {
        let Ok(stream) = TcpStream::connect(address).await else {
            break;
        };
        greedy.push(stream);
    }
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.9:0".parse().unwrap()).unwrap();
    let mut other = other.connect(address).await.unwrap();
    other
        .write_all(b"GET /primary HTTP/1.0\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, other.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with(b"HTTP/1.0 200 OK"), "{answer:?}");
}
