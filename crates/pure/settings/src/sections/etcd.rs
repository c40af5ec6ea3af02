//! `etcd3` and `etcd`: the DCS (contract §2.4). Both speak etcd's v3 API here.

use camino::Utf8PathBuf;

use crate::Secret;

/// How etcd is reached.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Etcd {
    /// `scheme://host:port` of every endpoint, in the order given.
    pub hosts: Vec<String>,
    /// The endpoints are proxies: do not ask them for the member list.
    pub use_proxies: bool,
    /// User of etcd's own authentication.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// Certificates and key.
    pub tls: EtcdTls,
}

/// Certificates and key towards etcd.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EtcdTls {
    /// Certificates the servers are checked against.
    pub cacert: Option<Utf8PathBuf>,
    /// The client's certificate.
    pub cert: Option<Utf8PathBuf>,
    /// The client's key; the certificate file when absent.
    pub key: Option<Utf8PathBuf>,
}
