//! A plain HTTP/1.0 client: one request, one connection, one deadline. Enough for REST and etcd's `/health`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest time for an ordinary GET, connecting included.
const ASK: Duration = Duration::from_millis(1500);

/// An answer: status and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status, such as 200 or 503.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body)
            .with_context(|| format!("not JSON (status {}): {}", self.status, self.body))
    }
}

/// Asks for `path` with the usual deadline of 1.5 s.
///
/// # Errors
/// When nobody answers in time or the answer is not HTTP.
pub async fn get(server: SocketAddr, path: &str) -> Result<Reply> {
    request("GET", server, path, None, ASK).await
}

/// Sends any request, `body` as JSON.
///
/// # Errors
/// When nobody answers before `deadline` or the answer is not HTTP.
pub async fn request(
    method: &str,
    server: SocketAddr,
    path: &str,
    body: Option<&Value>,
    deadline: Duration,
) -> Result<Reply> {
    let body = body.map(ToString::to_string).unwrap_or_default();
    request_text(method, server, path, &body, deadline).await
}

/// The same with any text as the body, JSON or not.
///
/// # Errors
/// When nobody answers before `deadline` or the answer is not HTTP.
pub async fn request_text(
    method: &str,
    server: SocketAddr,
    path: &str,
    body: &str,
    deadline: Duration,
) -> Result<Reply> {
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {server}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = timeout(deadline, exchange(server, head.as_bytes())).await;
    let text = answer
        .with_context(|| format!("{method} {server}{path}: no answer within {deadline:?}"))?
        .with_context(|| format!("{method} {server}{path}"))?;
    parse(&text).with_context(|| format!("{method} {server}{path}: not an HTTP answer"))
}

async fn exchange(server: SocketAddr, request: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

fn parse(answer: &[u8]) -> Option<Reply> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply {
        status,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Reply, parse};

    #[test]
    fn an_answer_is_split_into_status_and_body() {
        let reply =
            parse(b"HTTP/1.0 503 Service Unavailable\r\nServer: x\r\n\r\n{\"state\": \"running\"}");
        let body = "{\"state\": \"running\"}".to_owned();
        assert_eq!(reply, Some(Reply { status: 503, body }));
        assert_eq!(parse(b"nonsense"), None);
    }
}
