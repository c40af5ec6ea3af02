//! Endpoints that never answer, each in its own way.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::server::{address, port};

/// Accepts connections (the kernel does) and never answers.
#[derive(Debug)]
pub(crate) struct Silent(TcpListener);

impl Silent {
    pub(crate) fn open() -> Self {
        Self(TcpListener::bind((address(), port())).expect("the port is free"))
    }

    pub(crate) fn url(&self) -> String {
        url(self.0.local_addr().expect("it is bound"))
    }
}

/// Does not even accept: its queue is full, and further SYN packets are dropped.
#[derive(Debug)]
pub(crate) struct Full {
    at: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Full {
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind((address(), port())).expect("the port is free");
        rustix::net::listen(&listener, 0).expect("a listening socket may listen again");
        let at = listener.local_addr().expect("it is bound");
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&at, Duration::from_millis(200)) {
            waiting.push(stream);
        }
        Self {
            at,
            _listener: listener,
            _waiting: waiting,
        }
    }

    pub(crate) fn url(&self) -> String {
        url(self.at)
    }
}

fn url(at: SocketAddr) -> String {
    format!("http://{at}")
}
