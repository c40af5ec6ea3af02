//! The server on a thread of its own: a burst of requests takes one core, and the agent's turns never wait behind them.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use pgherd_ports::Desk;
use pgherd_settings::Settings;
use tokio::runtime::Builder;
use tokio::sync::oneshot::{self, Receiver, Sender};

use crate::server::{ServeError, Server};

/// Threads that ask a name server for the names of an allowlist, at most.
const LOOKUPS_MAX: usize = 1;

/// A server that listens on a thread of its own, and answers from [`RestBeside::answer`] on.
#[derive(Debug)]
pub struct RestBeside {
    desk: Option<Sender<Desk>>,
    /// Dropped when the server is to stop.
    stop: Option<Sender<()>>,
    thread: JoinHandle<()>,
}

impl RestBeside {
    /// Starts the thread and takes the address of `restapi.listen`.
    ///
    /// # Errors
    /// When there is no thread to be had, the address is not to be had, or TLS can not be set up.
    pub async fn bind(settings: Arc<Settings>) -> Result<Self, ServeError> {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(LOOKUPS_MAX)
            .enable_all()
            .build()
            .map_err(ServeError::Thread)?;
        let (bound, binding) = oneshot::channel();
        let (desk, at_work) = oneshot::channel();
        let (stop, stopping) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("rest".into())
            .spawn(move || runtime.block_on(work(settings, bound, at_work, stopping)))
            .map_err(ServeError::Thread)?;
        binding
            .await
            .map_err(|gone| ServeError::Thread(io::Error::other(gone)))??;
        Ok(Self {
            desk: Some(desk),
            stop: Some(stop),
            thread,
        })
    }

    /// Answers from here on.
    pub fn answer(&mut self, desk: Desk) {
        if let Some(to) = self.desk.take() {
            // it is gone only when it panicked, which `end` tells
            to.send(desk).ok();
        }
    }

    /// Stops it. Running requests are given a moment.
    ///
    /// # Errors
    /// When its thread broke off.
    pub async fn end(mut self) -> Result<(), String> {
        self.desk = None;
        self.stop = None;
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        match joined {
            Ok(Ok(())) => Ok(()),
            Ok(Err(panic)) => Err(panic
                .downcast_ref::<&str>()
                .map_or_else(|| "it panicked".to_owned(), |why| (*why).to_owned())),
            Err(error) => Err(error.to_string()),
        }
    }
}

async fn work(
    settings: Arc<Settings>,
    bound: Sender<Result<(), ServeError>>,
    desk: Receiver<Desk>,
    stopping: Receiver<()>,
) {
    let server = match Server::bind(settings).await {
        Ok(server) => server,
        Err(error) => {
            bound.send(Err(error)).ok();
            return;
        }
    };
    if bound.send(Ok(())).is_err() {
        return;
    }
    let Ok(desk) = desk.await else { return };
    server
        .run(desk, async move {
            // the other end is dropped, and that is the message
            stopping.await.ok();
        })
        .await;
}
