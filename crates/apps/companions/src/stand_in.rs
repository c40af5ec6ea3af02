//! A small HTTP server for tests: says what was laid down for a path, in order, and remembers what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What is said for `METHOD /path`, in order; the last one again and again.
type Answers = BTreeMap<String, VecDeque<(u16, String)>>;

#[derive(Debug)]
pub(crate) struct StandIn {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl StandIn {
    pub(crate) async fn start(answers: &[(&str, &[(u16, &str)])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let owned = |(place, said): &(&str, &[(u16, &str)])| {
            let said = said.iter().map(|(code, text)| (*code, (*text).to_owned()));
            ((*place).to_owned(), said.collect())
        };
        let mut answers: Answers = answers.iter().map(owned).collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                answer(stream, &mut answers, &all).await;
            }
        });
        Self { url, asked }
    }

    /// Whole requests, head and body.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(mut stream: TcpStream, answers: &mut Answers, asked: &Mutex<Vec<String>>) {
    let mut request = String::new();
    let mut bytes = [0; 4_096];
    while !is_whole(&request) {
        match stream.read(&mut bytes).await {
            Ok(count) if count > 0 => request.push_str(&String::from_utf8_lossy(&bytes[..count])),
            Ok(_) | Err(_) => return,
        }
    }
    let line = request.lines().next().unwrap_or_default();
    let place = line.trim_end_matches(" HTTP/1.1").to_owned();
    asked.lock().unwrap().push(request);
    let (code, text) = match answers.get_mut(&place) {
        Some(said) if said.len() > 1 => said.pop_front().unwrap(),
        Some(said) => said[0].clone(),
        None => (404, String::new()),
    };
    let reply = format!(
        "HTTP/1.1 {code} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(reply.as_bytes()).await.unwrap();
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    body.len() >= length.unwrap_or(0)
}
