//! What this machine tells of itself.

use std::net::UdpSocket;

/// A place outside this machine, of the addresses kept for documentation: nothing is sent there.
const OUTSIDE: &str = "198.51.100.1:9";

/// Name and address of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: String,
    /// The address from which it would reach others.
    pub(crate) address: String,
}

impl Host {
    /// Asks the system.
    pub(crate) fn look() -> Self {
        let name = rustix::system::uname();
        let name = name.nodename().to_string_lossy().into_owned();
        let address = UdpSocket::bind("0.0.0.0:0")
            .and_then(|socket| socket.connect(OUTSIDE).and_then(|()| socket.local_addr()))
            .map_or_else(
                |_| "127.0.0.1".to_owned(),
                |address| address.ip().to_string(),
            );
        Self { name, address }
    }
}
