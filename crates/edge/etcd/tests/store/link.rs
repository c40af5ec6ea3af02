//! A TCP link that can turn bad: a black hole (connections stay open, new ones are accepted, nothing passes),
//! or one that passes requests and swallows answers. Connections from before stay bad for ever, also after the
//! link is healed.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::server::{address, port};

/// A link to one port of the test's address.
#[derive(Debug)]
pub(crate) struct Link {
    url: String,
    state: Arc<watch::Sender<State>>,
    _task: JoinSet<()>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct State {
    cut: bool,
    muted: bool,
    /// How often it was healed.
    healed: u32,
}

impl Link {
    /// Makes a link to `target`.
    pub(crate) async fn to(target: u16) -> Self {
        let port = port();
        let listener = TcpListener::bind((address(), port))
            .await
            .expect("the port is free");
        let (state, seen) = watch::channel(State::default());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut passing = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                passing.spawn(pass(stream, target, seen.clone()));
            }
        });
        Self {
            url: format!("http://{}:{port}", address()),
            state: Arc::new(state),
            _task: task,
        }
    }

    /// The URL of this end.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Nothing passes from now on.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.cut = true);
    }

    /// Requests pass, answers do not.
    pub(crate) fn mute(&self) {
        self.state.send_modify(|state| state.muted = true);
    }

    /// New connections work again.
    pub(crate) fn heal(&self) {
        self.state.send_modify(|state| {
            *state = State {
                healed: state.healed + 1,
                ..State::default()
            };
        });
    }
}

async fn pass(mut stream: TcpStream, target: u16, state: watch::Receiver<State>) {
    let accepted = state.borrow().healed;
    let is_bad = move |now: &State| now.cut || now.healed != accepted;
    let mut watched = state.clone();
    tokio::select! {
        biased;
        _ = watched.wait_for(is_bad) => {}
        () = forward(&mut stream, target, state, is_bad) => return,
    }
    // Held open until the test is over.
    std::future::pending::<()>().await;
}

async fn forward(
    stream: &mut TcpStream,
    target: u16,
    mut state: watch::Receiver<State>,
    is_bad: impl Fn(&State) -> bool,
) {
    let now = state.clone();
    let Ok(mut server) = TcpStream::connect((address(), target)).await else {
        return;
    };
    let (mut from_client, mut to_client) = stream.split();
    let (mut from_server, mut to_server) = server.split();
    let answers = async {
        tokio::select! {
            biased;
            _ = state.wait_for(|now| now.muted) => {}
            _ = copy(&mut from_server, &mut to_client) => return,
        }
        // What becomes of an answer that nobody gets does not matter.
        drop(copy(&mut from_server, &mut sink()).await);
        std::future::pending::<()>().await;
    };
    let requests = async {
        let mut bytes = [0; 8192];
        while let Ok(length @ 1..) = from_client.read(&mut bytes).await {
            // What was read in the moment of the cut does not pass either.
            if is_bad(&now.borrow()) {
                std::future::pending::<()>().await;
            }
            if to_server.write_all(&bytes[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = requests => {}
        () = answers => {}
    }
}
