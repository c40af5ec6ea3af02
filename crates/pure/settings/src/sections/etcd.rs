//! `etcd3` and `etcd`: the DCS (contract §2.4). The first is etcd's v3 API, the second v2 where the servers have it.

use camino::Utf8PathBuf;

use crate::reader::Reader;
use crate::{HostPort, Secret};

/// How etcd is reached.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Etcd {
    /// `scheme://host:port` of every endpoint, in the order given.
    pub hosts: Vec<String>,
    /// Where more are found; what is found there goes before `hosts`.
    pub discovery: Option<Discovery>,
    /// The endpoints are proxies: do not ask them for the member list.
    pub use_proxies: bool,
    /// User of etcd's own authentication.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// Certificates and key.
    pub tls: EtcdTls,
    /// The section is `etcd`, by which Patroni means etcd's old API (v2): it counts where the servers have it.
    pub old_api: bool,
}

/// Endpoints that are looked for in DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// The domain whose SRV records are asked.
    pub domain: String,
    /// What is appended to the names of the services, behind a `-`.
    pub suffix: Option<String>,
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

/// The key of the domain, and its old names.
const DOMAIN: [&str; 3] = ["srv", "discovery_srv", "srv_domain"];
const PORT: u16 = 2379;

impl Etcd {
    /// Reads the section of this name.
    pub(crate) fn read(reader: &mut Reader<'_>, section: &str) -> Self {
        let key = |name: &str| format!("{section}.{name}");
        let domain = DOMAIN.iter().find_map(|name| reader.given(&key(name)));
        let suffix = reader.given(&key("srv_suffix"));
        if suffix.is_some() && domain.is_none() {
            reader.warn(&key("srv_suffix"), "has no effect without `srv`");
        }
        let domain = domain.map(|domain| domain.trim_matches('.').to_owned());
        let mut read = Self {
            hosts: Vec::new(),
            discovery: domain.map(|domain| Discovery { domain, suffix }),
            use_proxies: reader.flag(&key("use_proxies")) || reader.has(&key("proxy")),
            username: reader.given(&key("username")),
            password: reader.secret(&key("password")),
            tls: EtcdTls {
                cacert: reader.path(&key("cacert")),
                cert: reader.path(&key("cert")),
                key: reader.path(&key("key")),
            },
            old_api: section == "etcd",
        };
        let port = u16::try_from(reader.whole(&key("port"))).unwrap_or(PORT);
        let scheme = reader.choice(&key("protocol"));
        let Some((name, endpoints)) = endpoints(reader, section) else {
            if read.discovery.is_none() {
                reader.fault(
                    section,
                    "names no endpoint; give `hosts` as a list of `host:port`, or the domain to look in as `srv`",
                );
            }
            return read;
        };
        for (number, endpoint) in endpoints.into_iter().enumerate() {
            match Endpoint::parse(&endpoint, scheme, port) {
                Ok(endpoint) => {
                    read.hosts.push(endpoint.url);
                    read.username = read.username.or(endpoint.username);
                    read.password = read.password.or(endpoint.password);
                }
                Err(problem) if name == "hosts" => {
                    reader.fault(&key(&format!("hosts.{number}")), problem);
                }
                Err(problem) => reader.fault(&key(name), problem),
            }
        }
        read
    }
}

/// The endpoints and the key that gave them. A proxy goes before all, as with Patroni.
fn endpoints(reader: &Reader<'_>, section: &str) -> Option<(&'static str, Vec<String>)> {
    if let Some(proxy) = reader.given(&format!("{section}.proxy")) {
        return Some(("proxy", vec![proxy]));
    }
    let hosts = reader.list(&format!("{section}.hosts"));
    if !hosts.is_empty() {
        return Some(("hosts", hosts));
    }
    ["url", "host"]
        .into_iter()
        .find_map(|name| Some((name, vec![reader.given(&format!("{section}.{name}"))?])))
}

/// One endpoint, with the user that its URL may hold.
pub(crate) struct Endpoint {
    /// `scheme://host:port`.
    pub(crate) url: String,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Secret>,
    /// What stands behind the address, without slashes.
    pub(crate) path: String,
}

impl Endpoint {
    /// Reads `host:port` or a URL.
    pub(crate) fn parse(text: &str, scheme: &str, port: u16) -> Result<Self, String> {
        let (scheme, rest) = text
            .trim()
            .split_once("://")
            .unwrap_or((scheme, text.trim()));
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            return Err(format!(
                "`{scheme}` is no scheme of a DCS; use http or https"
            ));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, address) = match authority.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, authority),
        };
        let address = HostPort::parse(address, port)?;
        if address.host.is_empty() {
            return Err("an endpoint has no host; use `host:port`".to_owned());
        }
        let (username, password) = match user.map(|user| user.split_once(':').unwrap_or((user, "")))
        {
            Some((name, password)) => {
                let password = decoded(password);
                let password = (!password.is_empty()).then(|| Secret::new(password));
                (Some(decoded(name)), password)
            }
            None => (None, None),
        };
        let path = path.trim_matches('/').to_owned();
        Ok(Self {
            url: format!("{scheme}://{address}"),
            username,
            password,
            path,
        })
    }
}

/// Replaces `%41` by what it stands for; anything else behind a `%` stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail
            .get(..2)
            .and_then(|code| std::str::from_utf8(code).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        match code {
            Some(code) if *first == b'%' => {
                bytes.push(code);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_become_urls() {
        for (text, url) in [
            ("10.0.2.10:2379", "http://10.0.2.10:2379"),
            ("etcd1", "http://etcd1:2379"),
            ("https://etcd1", "https://etcd1:2379"),
            ("HTTPS://[::1]:1/", "https://[::1]:1"),
        ] {
            assert_eq!(
                Endpoint::parse(text, "http", PORT).map(|read| read.url),
                Ok(url.to_owned())
            );
        }
        assert!(Endpoint::parse("ftp://a", "http", PORT).is_err());
        assert!(Endpoint::parse(":2379", "http", PORT).is_err());
    }

    #[test]
    fn a_url_may_hold_a_user() {
        let read = Endpoint::parse("http://ro%6Ft:p%40ss%@e:1/x/", "http", PORT).unwrap();
        assert_eq!(read.username.as_deref(), Some("root"));
        assert_eq!(read.password, Some(Secret::new("p@ss%")));
        assert_eq!((read.url.as_str(), read.path.as_str()), ("http://e:1", "x"));
    }
}
