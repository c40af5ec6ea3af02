//! `zookeeper` and `exhibitor`: the DCS on ZooKeeper (contract §2.4). Exhibitor only tells where ZooKeeper is.

use std::time::Duration;

use camino::Utf8PathBuf;
use serde_json::Value;

use crate::reader::Reader;
use crate::{HostPort, Secret, check};

/// How ZooKeeper is reached.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ZooKeeper {
    /// The servers of the ensemble; none where Exhibitor tells them.
    pub hosts: Vec<HostPort>,
    /// What goes before all keys, as in `host:2181/chroot`; empty when nothing does.
    pub chroot: String,
    /// Where the servers are told.
    pub exhibitor: Option<Exhibitor>,
    /// Certificates and key; `None`: no TLS.
    pub tls: Option<ZooKeeperTls>,
    /// Who may do what with new nodes; nobody named: everybody everything.
    pub acls: Vec<ZooKeeperAcl>,
    /// Schemes and credentials of the login.
    pub auth: Vec<(String, Secret)>,
}

/// Where Exhibitor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhibitor {
    /// Its hosts.
    pub hosts: Vec<String>,
    /// The port of its HTTP API.
    pub port: u16,
    /// How often it is asked.
    pub poll_interval: Duration,
}

/// Certificates and key towards ZooKeeper.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ZooKeeperTls {
    /// Certificates the servers are checked against; the host's own store when absent.
    pub cacert: Option<Utf8PathBuf>,
    /// The client's certificate.
    pub cert: Option<Utf8PathBuf>,
    /// The client's key; the certificate file when absent.
    pub key: Option<Utf8PathBuf>,
    /// The key's passphrase.
    pub key_password: Option<Secret>,
    /// Whether the servers' certificates are checked at all.
    pub verify: bool,
}

/// What a client with a certificate may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZooKeeperAcl {
    /// The subject of its certificate, such as `CN=patroni`.
    pub principal: String,
    /// ZooKeeper's bits: 1 read, 2 write, 4 create, 8 delete, 16 admin.
    pub permissions: u8,
}

const PORT: u16 = 2181;
const EXHIBITOR_PORT: u16 = 8181;
const PERMISSIONS: [(&str, u8); 6] = [
    ("READ", 1),
    ("WRITE", 2),
    ("CREATE", 4),
    ("DELETE", 8),
    ("ADMIN", 16),
    ("ALL", 31),
];

impl ZooKeeper {
    /// Reads section `zookeeper`.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let exhibitor = reader.has("zookeeper.exhibitor");
        let exhibitor = exhibitor.then(|| Exhibitor::read(reader, "zookeeper.exhibitor"));
        let hosts = reader.list("zookeeper.hosts");
        let mut read = Self {
            exhibitor,
            tls: reader
                .flag("zookeeper.use_ssl")
                .then(|| ZooKeeperTls::read(reader)),
            acls: acls(reader),
            auth: auth(reader),
            ..Self::default()
        };
        match (&read.exhibitor, hosts.is_empty()) {
            (None, true) => {
                let problem = "names no server; give `hosts` as a list of `host:port`";
                reader.fault("zookeeper", problem);
            }
            (Some(_), false) => {
                let problem = "has no effect beside `zookeeper.exhibitor`, which tells the hosts";
                reader.warn("zookeeper.hosts", problem);
                return read;
            }
            (None, false) | (Some(_), true) => {}
        }
        for (number, host) in hosts.iter().enumerate() {
            // A chroot stands behind the last, and counts for all.
            let (host, chroot) = host.split_once('/').unwrap_or((host, ""));
            if !chroot.is_empty() {
                read.chroot = format!("/{}", chroot.trim_matches('/'));
            }
            match HostPort::parse(host, PORT) {
                Ok(host) if host.host.is_empty() => {
                    let problem = "a server has no host; use `host:port`";
                    reader.fault(&format!("zookeeper.hosts.{number}"), problem);
                }
                Ok(host) => read.hosts.push(host),
                Err(problem) => reader.fault(&format!("zookeeper.hosts.{number}"), problem),
            }
        }
        read
    }

    /// Reads section `exhibitor`.
    pub(crate) fn read_exhibitor(reader: &mut Reader<'_>) -> Self {
        Self {
            exhibitor: Some(Exhibitor::read(reader, "exhibitor")),
            ..Self::default()
        }
    }

    /// The one server of a DCS URL.
    pub(crate) fn at(host: HostPort) -> Self {
        Self {
            hosts: vec![host],
            ..Self::default()
        }
    }

    /// The Exhibitor of a DCS URL.
    pub(crate) fn told_by(at: HostPort) -> Self {
        Self {
            exhibitor: Some(Exhibitor {
                hosts: vec![at.host],
                port: at.port,
                poll_interval: Duration::from_secs(300),
            }),
            ..Self::default()
        }
    }
}

impl Exhibitor {
    fn read(reader: &mut Reader<'_>, section: &str) -> Self {
        let key = |name: &str| format!("{section}.{name}");
        let hosts = reader.list(&key("hosts"));
        if hosts.is_empty() {
            reader.fault(
                section,
                "names no Exhibitor; give `hosts` as a list of hosts",
            );
        }
        Self {
            hosts,
            port: u16::try_from(reader.whole(&key("port"))).unwrap_or(EXHIBITOR_PORT),
            poll_interval: reader.span(&key("poll_interval")),
        }
    }
}

impl ZooKeeperTls {
    fn read(reader: &Reader<'_>) -> Self {
        Self {
            cacert: reader.path("zookeeper.cacert"),
            cert: reader.path("zookeeper.cert"),
            key: reader.path("zookeeper.key"),
            key_password: reader.secret("zookeeper.key_password"),
            verify: reader.flag("zookeeper.verify"),
        }
    }
}

fn auth(reader: &Reader<'_>) -> Vec<(String, Secret)> {
    let given = reader.texts("zookeeper.auth_data").into_iter();
    given
        .map(|(scheme, credential)| (scheme, Secret::new(credential)))
        .collect()
}

fn acls(reader: &mut Reader<'_>) -> Vec<ZooKeeperAcl> {
    let mut acls = Vec::new();
    for (principal, given) in reader.mapping("zookeeper.set_acls").into_iter().flatten() {
        match permissions(given) {
            Ok(permissions) => acls.push(ZooKeeperAcl {
                principal: principal.clone(),
                permissions,
            }),
            Err(problem) => reader.fault("zookeeper.set_acls", format!("`{principal}` {problem}")),
        }
    }
    acls
}

fn permissions(given: &Value) -> Result<u8, String> {
    let words = check::list(given).ok_or("has no list of permissions")?;
    let known = PERMISSIONS.map(|(word, _)| word).join(", ");
    let mut permissions = 0;
    for word in &words {
        let found = PERMISSIONS
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(word));
        let (_, bit) = found.ok_or_else(|| format!("has `{word}`, which is none of {known}"))?;
        permissions |= bit;
    }
    match permissions {
        0 => Err(format!("has no permission; give some of {known}")),
        some => Ok(some),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn permissions_are_words_in_any_case() {
        assert_eq!(permissions(&json!(["create", "READ"])), Ok(5));
        assert_eq!(permissions(&json!(["all"])), Ok(31));
        assert_eq!(permissions(&json!("read, write")), Ok(3));
        assert!(permissions(&json!([])).is_err());
        assert!(
            permissions(&json!(["READ", "RUN"]))
                .unwrap_err()
                .contains("`RUN`")
        );
    }
}
