//! `restapi` and `ctl`: both sides of the REST API (contract §2.4, §16).

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

use crate::reader::Reader;
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

impl Restapi {
    /// Reads section `restapi`.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let defaults = Self::default();
        let listen = required_address(reader, "restapi.listen", 8008);
        let connect_address = required_address(reader, "restapi.connect_address", 8008);
        if let Some(address) = &connect_address {
            warn_of_unreachable(reader, "restapi.connect_address", address);
        }
        Self {
            listen: listen.unwrap_or(defaults.listen),
            connect_address: connect_address.unwrap_or(defaults.connect_address),
            authentication: client_login(reader, "restapi.authentication"),
            certfile: reader.path("restapi.certfile"),
            keyfile: reader.path("restapi.keyfile"),
            keyfile_password: reader.secret("restapi.keyfile_password"),
            cafile: reader.path("restapi.cafile"),
            ciphers: reader.given("restapi.ciphers"),
            verify_client: match reader.choice("restapi.verify_client") {
                "required" => VerifyClient::Required,
                "optional" => VerifyClient::Optional,
                _ => VerifyClient::None,
            },
            allowlist: reader.list("restapi.allowlist"),
            allowlist_include_members: reader.flag("restapi.allowlist_include_members"),
            http_extra_headers: reader.texts("restapi.http_extra_headers"),
            https_extra_headers: reader.texts("restapi.https_extra_headers"),
            request_queue_size: reader.count("restapi.request_queue_size"),
            server_tokens: reader.choice("restapi.server_tokens").to_owned(),
        }
    }
}

impl Ctl {
    /// Reads section `ctl` with what it falls back to in `restapi`.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            insecure: reader.flag("ctl.insecure"),
            cacert: reader
                .path("ctl.cacert")
                .or_else(|| reader.path("restapi.cafile")),
            certfile: reader.path("ctl.certfile"),
            keyfile: reader.path("ctl.keyfile"),
            keyfile_password: reader.secret("ctl.keyfile_password"),
            authentication: client_login(reader, "ctl.authentication")
                .or_else(|| client_login(reader, "restapi.authentication")),
        }
    }
}

fn client_login(reader: &mut Reader<'_>, section: &str) -> Option<ClientLogin> {
    let username = reader.given(&format!("{section}.username"));
    let password = reader.secret(&format!("{section}.password"));
    match (username, password) {
        (Some(username), password) => Some(ClientLogin {
            username,
            password: password.unwrap_or_default(),
        }),
        (None, Some(_)) => {
            reader.fault(
                section,
                "has a password without a user name; give `username`, too",
            );
            None
        }
        (None, None) => None,
    }
}

/// Reads a `host:port` that must be given.
pub(super) fn required_address(
    reader: &mut Reader<'_>,
    path: &str,
    default_port: u16,
) -> Option<HostPort> {
    let Some(text) = reader.given(path) else {
        if !reader.has(path) {
            reader.fault(path, "is required; give `host:port`");
        }
        return None;
    };
    match HostPort::parse(&text, default_port) {
        Ok(address) => Some(address),
        Err(problem) => {
            reader.fault(path, problem);
            None
        }
    }
}

/// Other hosts can not come by these addresses, but a cluster on one host can.
pub(super) fn warn_of_unreachable(reader: &mut Reader<'_>, path: &str, address: &HostPort) {
    if address.is_wildcard() {
        reader.fault(
            path,
            format!("`{address}` names no host; give the address that others use"),
        );
    } else if address.is_loopback() {
        let problem = format!("`{address}` can not be reached from another host");
        reader.warn(path, problem);
    }
}
