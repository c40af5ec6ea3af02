//! A way to the agent on which things are lost: the answer to one request, or everything on the connections that there
//! are. New connections are always good; those from before stay open and silent for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::server::{address, port};

/// How the one request begins whose answer is lost: a transaction.
const CHANGES: &[u8] = b"PUT /v1/txn";

#[derive(Debug)]
pub(crate) struct Link {
    url: String,
    cuts: watch::Sender<u32>,
    loses: Arc<AtomicBool>,
    _task: JoinSet<()>,
}

impl Link {
    /// Makes a link to `target`.
    pub(crate) async fn to(target: u16) -> Self {
        let port = port();
        let listener = TcpListener::bind((address(), port))
            .await
            .expect("the port is free");
        let (cuts, cut) = watch::channel(0);
        let loses = Arc::new(AtomicBool::new(false));
        let losing = Arc::clone(&loses);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut passing = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                passing.spawn(pass(stream, target, cut.clone(), Arc::clone(&losing)));
            }
        });
        Self {
            url: format!("http://{}:{port}", address()),
            cuts,
            loses,
            _task: task,
        }
    }

    /// The URL of this end.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Nothing passes any more on the connections that there are now.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// The answer to the next transaction is lost, though it is carried out.
    pub(crate) fn lose_next(&self) {
        self.loses.store(true, Ordering::SeqCst);
    }

    /// Whether that has happened.
    pub(crate) fn has_lost(&self) -> bool {
        !self.loses.load(Ordering::SeqCst)
    }
}

async fn pass(
    mut stream: TcpStream,
    target: u16,
    mut cut: watch::Receiver<u32>,
    loses: Arc<AtomicBool>,
) {
    cut.mark_unchanged();
    tokio::select! {
        biased;
        _ = cut.changed() => {}
        () = forward(&mut stream, target, &loses) => return,
    }
    // Held open until the test is over.
    std::future::pending::<()>().await;
}

async fn forward(stream: &mut TcpStream, target: u16, loses: &AtomicBool) {
    let Ok(mut server) = TcpStream::connect((address(), target)).await else {
        return;
    };
    let (mut from_client, mut to_client) = stream.split();
    let (mut from_server, mut to_server) = server.split();
    let (lost, mut losing) = watch::channel(false);
    let requests = async {
        let mut chunk = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_client.read(&mut chunk).await {
            let request = chunk.get(..length).unwrap_or_default();
            if request.starts_with(CHANGES) && loses.swap(false, Ordering::SeqCst) {
                lost.send_replace(true);
            }
            if to_server.write_all(request).await.is_err() {
                return;
            }
        }
    };
    let answers = async {
        tokio::select! {
            biased;
            lost = losing.wait_for(|lost| *lost) => drop(lost),
            _ = copy(&mut from_server, &mut to_client) => return,
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = requests => {}
        () = answers => {}
    }
}
