//! Health checks as a proxy makes them: which servers have said lately that they lead.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::Endpoint;
use crate::http;

/// From one round of checks to the next.
const ROUND: Duration = Duration::from_millis(100);
/// A host that is gone must not keep the round waiting.
const ASK: Duration = Duration::from_millis(300);

/// Names of the servers that were called down.
pub(crate) type Down = watch::Receiver<BTreeSet<String>>;

/// Asks every one of `servers` all the time. One whose `/primary` has not said 200 for `limit` is down, until it does.
pub(crate) fn check(servers: Vec<Endpoint>, limit: Duration) -> (Down, JoinHandle<()>) {
    let (tell, down) = watch::channel(BTreeSet::new());
    let task = tokio::spawn(async move {
        let now = Instant::now();
        let mut good: Vec<Instant> = servers.iter().map(|_| now).collect();
        loop {
            let answers = join_all(servers.iter().map(leads)).await;
            let now = Instant::now();
            for (good, answer) in good.iter_mut().zip(answers) {
                if answer {
                    *good = now;
                }
            }
            let late = servers.iter().zip(&good);
            let late = late.filter(|(_, good)| now.duration_since(**good) >= limit);
            tell.send_replace(late.map(|(server, _)| server.name.clone()).collect());
            sleep(ROUND).await;
        }
    });
    (down, task)
}

async fn leads(server: &Endpoint) -> bool {
    let Some(rest) = server.rest else {
        return false;
    };
    let reply = http::request("GET", rest, "/primary", None, ASK).await;
    reply.is_ok_and(|reply| reply.status == 200)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::watch;
    use tokio::time::timeout;

    use super::{Endpoint, check};

    /// An agent that answers with whatever status it is told, on this machine.
    async fn agent(name: &str, status: watch::Receiver<u16>) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let rest = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = format!("HTTP/1.0 {} x\r\n\r\n", *status.borrow());
                drop(stream.read(&mut [0; 512]).await);
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        Endpoint {
            name: name.to_owned(),
            sql: rest,
            rest: Some(rest),
        }
    }

    #[tokio::test]
    async fn a_server_is_down_while_its_agent_does_not_say_that_it_leads() {
        let (one, one_says) = watch::channel(200);
        let (_two, two_says) = watch::channel(200);
        let servers = vec![agent("a", one_says).await, agent("b", two_says).await];
        let (mut down, task) = check(servers, Duration::from_millis(200));
        let mut seen = async |wanted: &[&str]| {
            let fits = |down: &std::collections::BTreeSet<String>| down.iter().eq(wanted);
            timeout(Duration::from_secs(20), down.wait_for(fits))
                .await
                .unwrap()
                .unwrap();
        };
        seen(&[]).await;
        one.send_replace(503);
        seen(&["a"]).await;
        one.send_replace(200);
        seen(&[]).await;
        task.abort();
    }
}
