//! What the commands talk to in tests.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use clap::Parser;
use pgherd_domain::documents::{FailoverDoc, MemberDoc, StatusDoc};
use pgherd_domain::{
    ClusterView, LeaderKey, Lsn, MemberName, PgRole, PgState, Revision, TimelineId, Versioned,
};
use pgherd_ports::{
    Acquisition, Condition, Dcs, DcsError, HandOver, Key, OperatorDcs, Renewal, Written,
};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::Program;
use crate::args::{ClientArgs, Command};
use crate::commands;
use crate::failure;
use crate::screen::Screen;
use crate::session::Session;

/// A view that other clients may change.
#[derive(Debug, Default)]
pub(crate) struct Store(Mutex<(ClusterView, Revision, bool)>, Notify);

impl Store {
    pub(crate) fn new(view: ClusterView) -> Arc<Self> {
        Arc::new(Self(Mutex::new((view, 100, false)), Notify::new()))
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut ClusterView)) {
        change(&mut self.0.lock().unwrap().0);
    }

    pub(crate) fn view(&self) -> ClusterView {
        self.0.lock().unwrap().0.clone()
    }

    /// Waits until it was read once more after this was called.
    pub(crate) async fn read_again(&self) {
        // the first may tell of an earlier one
        self.1.notified().await;
        self.1.notified().await;
    }

    /// Lets somebody else write just before every write.
    pub(crate) fn overtake(&self) {
        self.0.lock().unwrap().2 = true;
    }
}

fn never<T>() -> Result<T, DcsError> {
    Err(DcsError::Answered("no command does this".to_owned()))
}

#[async_trait]
impl Dcs for Store {
    async fn load(&self) -> Result<ClusterView, DcsError> {
        self.1.notify_one();
        Ok(self.view())
    }

    async fn put(&self, key: &Key, value: &str, when: Condition) -> Result<Written, DcsError> {
        let mut guard = self.0.lock().unwrap();
        let (view, revision, overtaken) = &mut *guard;
        let found = match key {
            Key::Config => view.config.as_ref().map(|config| config.revision),
            Key::Failover => view.failover_revision,
            _ => return never(),
        };
        if *overtaken
            || when
                .revision
                .is_some_and(|wanted| wanted != found.unwrap_or(0))
        {
            return Ok(Written::Refused);
        }
        *revision += 1;
        let revision = *revision;
        if *key == Key::Config {
            let value = serde_json::from_str(value).unwrap();
            view.config = Some(Versioned { value, revision });
        } else {
            view.failover = FailoverDoc::parse(value).map(|value| Versioned { value, revision });
            view.failover_revision = Some(revision);
        }
        Ok(Written::Done(revision))
    }

    async fn renew(&self) -> Result<Renewal, DcsError> {
        never()
    }

    async fn acquire_leader(&self) -> Result<Acquisition, DcsError> {
        never()
    }

    async fn release_leader(&self) -> Result<bool, DcsError> {
        never()
    }

    async fn hand_over(&self, _to: &MemberName) -> Result<HandOver, DcsError> {
        never()
    }

    async fn delete(&self, _key: &Key, _when: Condition) -> Result<Written, DcsError> {
        never()
    }

    fn set_ttl(&self, _ttl: Duration) {}

    async fn leave(&self) -> Result<(), DcsError> {
        never()
    }
}

#[async_trait]
impl OperatorDcs for Store {
    async fn erase(&self) -> Result<(), DcsError> {
        self.change(|view| *view = ClusterView::default());
        Ok(())
    }

    async fn groups(&self) -> Result<Vec<u32>, DcsError> {
        Ok(Vec::new())
    }
}

/// A member that answers what was laid down, in order, and remembers what it was asked.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) api_url: String,
    asked: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
}

impl Member {
    pub(crate) async fn start(answers: &[(u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api_url = format!("http://{}/patroni", listener.local_addr().unwrap());
        let answers = answers
            .iter()
            .map(|(code, text)| (*code, (*text).to_owned()))
            .collect();
        let answers = Arc::new(Mutex::new(answers));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (all_answers, all_asked) = (Arc::clone(&answers), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                answer(stream, &all_answers, &all_asked).await;
            }
        });
        Self {
            api_url,
            asked,
            answers,
        }
    }

    /// `METHOD /path BODY` of every request.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Whether everything that was laid down was said.
    pub(crate) fn is_done(&self) -> bool {
        self.answers.lock().unwrap().is_empty()
    }
}

/// One request on one connection.
async fn answer(
    mut stream: TcpStream,
    answers: &Mutex<VecDeque<(u16, String)>>,
    asked: &Mutex<Vec<String>>,
) {
    let mut request = String::new();
    let mut bytes = [0; 4_096];
    while !is_whole(&request) {
        match stream.read(&mut bytes).await {
            Ok(count) if count > 0 => request.push_str(&String::from_utf8_lossy(&bytes[..count])),
            Ok(_) | Err(_) => return,
        }
    }
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1");
    asked
        .lock()
        .unwrap()
        .push(format!("{line} {body}").trim_end().to_owned());
    let next = answers.lock().unwrap().pop_front();
    let (code, text) = next.unwrap_or((500, "nothing is laid down for this".to_owned()));
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

/// Nobody listens here.
pub(crate) const NOBODY: &str = "http://127.0.0.1:1/patroni";

pub(crate) fn name(text: &str) -> MemberName {
    MemberName::new(text).unwrap()
}

/// `a` leads, `b` and `c` follow.
pub(crate) fn view(a: &str, b: &str, c: &str) -> ClusterView {
    let member = |number: u8, api_url: &str| MemberDoc {
        conn_url: format!("postgres://10.0.0.{number}:5432/postgres"),
        api_url: api_url.to_owned(),
        state: Some(PgState::Running),
        role: Some(if number == 1 {
            PgRole::Primary
        } else {
            PgRole::Replica
        }),
        timeline: Some(TimelineId(3)),
        xlog_location: Some(Lsn::new(1_000)),
        ..MemberDoc::default()
    };
    ClusterView {
        leader: Some(LeaderKey {
            name: name("a"),
            revision: 5,
            on_my_lease: false,
        }),
        members: [
            (name("a"), member(1, a)),
            (name("b"), member(2, b)),
            (name("c"), member(3, c)),
        ]
        .into(),
        config: Some(Versioned {
            value: json!({"ttl": 30, "loop_wait": 10}),
            revision: 50,
        }),
        status: StatusDoc {
            optime: Some(Lsn::new(1_000)),
            ..StatusDoc::default()
        },
        ..ClusterView::default()
    }
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) ok: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Standard output without the tables.
    pub(crate) fn words(&self) -> String {
        let is_table = |line: &&str| line.starts_with(['+', '|']);
        self.out
            .lines()
            .filter(|line| !is_table(line))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

#[derive(Debug, Parser)]
pub(crate) struct Line {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Runs a command line, with `input` typed in.
pub(crate) async fn run(store: &Arc<Store>, line: &str, input: &'static str) -> Ran {
    run_as(store, line, input, Program::Patronictl).await
}

/// The same under a name of the program.
pub(crate) async fn run_as(
    store: &Arc<Store>,
    line: &str,
    input: &'static str,
    program: Program,
) -> Ran {
    let parsed = Line::try_parse_from(["pgherd"].into_iter().chain(line.split(' '))).unwrap();
    let mut session = Session::with_store(store.clone(), "demo", &parsed.client);
    session.program = program;
    let (out, err) = (Shared::default(), Shared::default());
    let mut screen = Screen::of(input.as_bytes(), out.clone(), err.clone());
    let ended = commands::run(parsed.command, &session, &mut screen).await;
    if let Err(failure) = &ended {
        failure::print(failure, &mut screen);
    }
    Ran {
        ok: ended.is_ok(),
        out: out.text(),
        err: err.text(),
    }
}

/// A stream that can be read afterwards.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
