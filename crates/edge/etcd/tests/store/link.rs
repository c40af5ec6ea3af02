//! A TCP link that can turn into a black hole: connections stay open, new ones are accepted, nothing passes.
//! What was swallowed once stays silent for ever, also after the link is healed.

use std::sync::Arc;

use tokio::io::copy_bidirectional;
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
    /// How often it was cut: connections from before a cut never work again.
    cuts: u32,
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
        self.state.send_modify(|state| {
            state.cut = true;
            state.cuts += 1;
        });
    }

    /// New connections pass again.
    pub(crate) fn heal(&self) {
        self.state.send_modify(|state| state.cut = false);
    }
}

async fn pass(mut stream: TcpStream, target: u16, mut state: watch::Receiver<State>) {
    let accepted = *state.borrow();
    tokio::select! {
        biased;
        _ = state.wait_for(|now| now.cut || now.cuts != accepted.cuts) => {}
        () = forward(&mut stream, target) => return,
    }
    // Held open until the test is over.
    std::future::pending::<()>().await;
}

async fn forward(stream: &mut TcpStream, target: u16) {
    if let Ok(mut server) = TcpStream::connect((address(), target)).await {
        // Either end may close at any time; that is all there is to know.
        drop(copy_bidirectional(stream, &mut server).await);
    }
}
