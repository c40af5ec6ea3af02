//! `restapi` and `ctl`: both sides of the REST API (contract §2.4, §16).

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

use crate::{HostPort, Secret};

/// The REST server.
#[derive(Debug, Clone, PartialEq)]
pub struct Restapi {
    /// Where to listen; an empty host or `*` is every interface.
    pub listen: HostPort,
    /// What other members and people use.
    pub connect_address: HostPort,
    /// What unsafe requests must present.
    pub authentication: Option<ClientLogin>,
    /// Certificate; its presence turns TLS on.
    pub certfile: Option<Utf8PathBuf>,
    /// Key; the certificate file when absent.
    pub keyfile: Option<Utf8PathBuf>,
    /// Passphrase of the key.
    pub keyfile_password: Option<Secret>,
    /// Certificates that clients are checked against.
    pub cafile: Option<Utf8PathBuf>,
    /// OpenSSL's cipher list, kept as text.
    pub ciphers: Option<String>,
    /// Whether clients must show a certificate.
    pub verify_client: VerifyClient,
    /// Hosts, addresses and networks that may send unsafe requests.
    pub allowlist: Vec<String>,
    /// Members of the cluster may, too.
    pub allowlist_include_members: bool,
    /// Headers added to each answer.
    pub http_extra_headers: BTreeMap<String, String>,
    /// Headers added on top under TLS.
    pub https_extra_headers: BTreeMap<String, String>,
    /// Connections that may wait to be accepted.
    pub request_queue_size: u32,
    /// `original`, `minimal` or `productonly`: what the Server header says.
    pub server_tokens: String,
}

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VerifyClient {
    /// Never.
    #[default]
    None,
    /// For unsafe requests.
    Optional,
    /// For every request.
    Required,
}

/// A user name and password of HTTP basic authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientLogin {
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// The REST client: `patronictl` and the agent calling its peers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ctl {
    /// Do not check the server's certificate.
    pub insecure: bool,
    /// Certificates the server is checked against; `restapi.cafile` when not set.
    pub cacert: Option<Utf8PathBuf>,
    /// The client's certificate.
    pub certfile: Option<Utf8PathBuf>,
    /// The client's key.
    pub keyfile: Option<Utf8PathBuf>,
    /// Passphrase of the client's key.
    pub keyfile_password: Option<Secret>,
    /// Sent with unsafe requests; `restapi.authentication` when not set.
    pub authentication: Option<ClientLogin>,
}

impl Default for Restapi {
    fn default() -> Self {
        let local = |host: &str| HostPort {
            host: host.to_owned(),
            port: 8008,
        };
        Self {
            listen: local("*"),
            connect_address: local("localhost"),
            authentication: None,
            certfile: None,
            keyfile: None,
            keyfile_password: None,
            cafile: None,
            ciphers: None,
            verify_client: VerifyClient::None,
            allowlist: Vec::new(),
            allowlist_include_members: false,
            http_extra_headers: BTreeMap::new(),
            https_extra_headers: BTreeMap::new(),
            request_queue_size: 5,
            server_tokens: "original".to_owned(),
        }
    }
}

impl Restapi {
    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.certfile.is_some() {
            "https"
        } else {
            "http"
        }
    }

    /// The URL that the member key publishes as `api_url`, without the path.
    pub fn base_url(&self) -> String {
        format!("{}://{}", self.scheme(), self.connect_address)
    }
}
