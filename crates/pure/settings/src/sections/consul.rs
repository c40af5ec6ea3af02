//! `consul`: the DCS on Consul (contract §2.4).

use camino::Utf8PathBuf;

use crate::reader::Reader;
use crate::sections::etcd::Endpoint;
use crate::{HostPort, Secret};

/// How Consul is reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Consul {
    /// `scheme://host:port` of the agent.
    pub url: String,
    /// Certificates and key.
    pub tls: ConsulTls,
    /// Health checks that end a member's session; none unless set.
    pub checks: Vec<String>,
    /// How often Consul checks the service, as it writes times: `5s`.
    pub service_check_interval: String,
    /// The name that the certificate of the REST API bears, where the address of the check says another.
    pub service_check_tls_server_name: Option<String>,
    /// What a reload changes.
    pub access: ConsulAccess,
}

/// Certificates and key towards the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsulTls {
    /// Whether its certificate is checked.
    pub verify: bool,
    /// Certificates it is checked against; the host's own store without.
    pub cacert: Option<Utf8PathBuf>,
    /// The client's certificate.
    pub cert: Option<Utf8PathBuf>,
    /// The client's key; the certificate file when absent.
    pub key: Option<Utf8PathBuf>,
}

/// What a reload changes of section `consul` (contract §2.7).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsulAccess {
    /// The token of Consul's access control.
    pub token: Option<Secret>,
    /// The datacenter; the agent's own without.
    pub dc: Option<String>,
    /// How the watch reads.
    pub consistency: Consistency,
    /// Whether the member is a service in Consul's catalog.
    pub register_service: bool,
    /// Tags of that service, beside its role.
    pub service_tags: Vec<String>,
}

/// Consul's ways to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// From the leader, once a quorum has confirmed that it is.
    #[default]
    Consistent,
    /// From the leader.
    Default,
    /// From any server.
    Stale,
}

const PORT: u16 = 8500;
/// Where an agent listens that was told nothing else.
const HOST: &str = "127.0.0.1";

impl Default for Consul {
    fn default() -> Self {
        Self {
            url: format!("http://{HOST}:{PORT}"),
            tls: ConsulTls {
                verify: true,
                cacert: None,
                cert: None,
                key: None,
            },
            checks: Vec::new(),
            service_check_interval: "5s".to_owned(),
            service_check_tls_server_name: None,
            access: ConsulAccess::default(),
        }
    }
}

impl Consul {
    /// The agent at this address, with everything else as it is unless set.
    pub(crate) fn at(url: String) -> Self {
        Self {
            url,
            ..Self::default()
        }
    }

    /// Reads section `consul`.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let url = url(reader);
        if reader.given("consul.key").is_some() && reader.given("consul.cert").is_none() {
            reader.warn("consul.key", "has no effect without `cert`");
        }
        let consistency = match reader.choice("consul.consistency") {
            "default" => Consistency::Default,
            "stale" => Consistency::Stale,
            _ => Consistency::Consistent,
        };
        let interval = reader.text("consul.service_check_interval");
        Self {
            url,
            tls: ConsulTls {
                verify: reader.flag("consul.verify"),
                cacert: reader.path("consul.cacert"),
                cert: reader.path("consul.cert"),
                key: reader.path("consul.key"),
            },
            checks: reader.list("consul.checks"),
            service_check_interval: match interval.chars().all(|one| one.is_ascii_digit()) {
                true => format!("{interval}s"),
                false => interval,
            },
            service_check_tls_server_name: reader.given("consul.service_check_tls_server_name"),
            access: ConsulAccess {
                token: reader
                    .secret("consul.token")
                    .filter(|token| !token.reveal().is_empty()),
                dc: reader.given("consul.dc"),
                consistency,
                register_service: reader.flag("consul.register_service"),
                service_tags: reader.list("consul.service_tags"),
            },
        }
    }
}

/// The agent's address: `url`, else `host` with what `scheme` and `port` say; on this host without any.
fn url(reader: &mut Reader<'_>) -> String {
    let scheme = reader.choice("consul.scheme");
    let parsed = match (reader.given("consul.url"), reader.given("consul.host")) {
        (Some(url), _) => (
            "consul.url",
            Endpoint::parse(&url, scheme, PORT).map(|read| read.url),
        ),
        (None, host) => {
            let host = host.unwrap_or_else(|| HOST.to_owned());
            let address = HostPort::parse(&host, PORT).map(|mut address| {
                if let Some(port) = reader.given_whole("consul.port") {
                    address.port = u16::try_from(port).unwrap_or(PORT);
                }
                format!("{scheme}://{address}")
            });
            ("consul.host", address)
        }
    };
    match parsed {
        (_, Ok(url)) => url,
        (key, Err(problem)) => {
            reader.fault(key, problem);
            String::new()
        }
    }
}
