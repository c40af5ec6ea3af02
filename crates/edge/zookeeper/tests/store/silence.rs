//! Servers that never answer, servers told by Exhibitor, and sessions that servers cut short.

use std::net::TcpListener;
use std::time::Duration;

use pgherd_ports::{Acquisition, Condition, Dcs as _, Key, Leading};
use pgherd_settings::{Exhibitor, HostPort};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::server::{Servers, address, is_there, port};
use crate::{TTL, member, options, ready};

/// Accepts connections (the kernel does) and never answers.
fn silent() -> (TcpListener, HostPort) {
    let listener = TcpListener::bind((address(), port())).expect("the port is free");
    let at = listener.local_addr().expect("it is bound");
    let at = HostPort {
        host: at.ip().to_string(),
        port: at.port(),
    };
    (listener, at)
}

/// Also with nobody else to ask, every call ends within its deadline: a renewal in a quarter of ttl.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_ends_in_time_when_nobody_answers() {
    let (_listener, hole) = silent();
    let a = member("a", options(vec![hole], "silent"));
    let begun = Instant::now();
    let calls = async {
        tokio::join!(
            async { (a.load().await.is_err(), begun.elapsed()) },
            async {
                let put = a.put(&Key::Status, "{}", Condition::ALWAYS).await;
                (put.is_err(), begun.elapsed())
            },
            async { (a.acquire_leader().await.is_err(), begun.elapsed()) },
        )
    };
    let (load, put, acquire) = calls.await;
    for (failed, after) in [load, put, acquire] {
        assert!(failed && after <= TTL, "{after:?}");
    }
    let begun = Instant::now();
    assert!(a.renew().await.is_err());
    assert!(begun.elapsed() <= TTL / 2, "{:?}", begun.elapsed());
}

/// Of two servers one is a black hole, Exhibitor names both, and ZooKeeper grants less time than asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_among_the_servers_and_a_limit_of_theirs_are_lived_with() {
    if !is_there() {
        return;
    }
    let servers = Servers::start(1);
    ready(servers.hosts()).await;
    let (_listener, hole) = silent();
    let hosts = [hole, servers.hosts().remove(0)];
    // Both orders: who is asked first depends on the member's name.
    for name in ["a", "b"] {
        let mut options = options(hosts.to_vec(), name);
        options.ttl = Duration::from_secs(900);
        options.retry_timeout = Duration::from_secs(4);
        let dcs = member(name, options);
        assert_eq!(dcs.acquire_leader().await, Ok(Acquisition::Mine));
        let renewal = dcs.renew().await.expect("one of them answers");
        assert_eq!((renewal.alive, renewal.leading), (true, Leading::Me));
        assert_eq!(dcs.lease_ttl(), Some(Duration::from_secs(600)));
    }
}

/// Exhibitor is asked once, and its answer is used from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exhibitor_tells_where_zookeeper_is() {
    if !is_there() {
        return;
    }
    let servers = Servers::start(1);
    ready(servers.hosts()).await;
    let at = servers.hosts().remove(0);
    let listener = tokio::net::TcpListener::bind((address(), port()))
        .await
        .expect("the port is free");
    let told = listener.local_addr().expect("it is bound");
    let answering = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("somebody asks");
        let mut asked = vec![0; 1024];
        let length = stream.read(&mut asked).await.expect("it asks");
        let body = format!(r#"{{"servers":["{}"],"port":{}}}"#, at.host, at.port);
        let length_of = body.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length_of}\r\n\r\n{body}"
        );
        stream
            .write_all(answer.as_bytes())
            .await
            .expect("it listens");
        String::from_utf8_lossy(&asked[..length]).into_owned()
    });
    let mut options = options(Vec::new(), "exhibitor");
    options.zookeeper.exhibitor = Some(Exhibitor {
        hosts: vec![told.ip().to_string()],
        port: told.port(),
        poll_interval: Duration::from_secs(300),
    });
    let dcs = member("a", options);
    assert_eq!(dcs.acquire_leader().await, Ok(Acquisition::Mine));
    let asked = answering.await.expect("it was asked");
    assert!(
        asked.starts_with("GET /exhibitor/v1/cluster/list HTTP/1.1"),
        "{asked}"
    );
}
