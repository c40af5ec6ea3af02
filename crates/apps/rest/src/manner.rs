//! What the settings say of how to answer, prepared once per change: headers, credentials, the allowlist.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::{HeaderName, HeaderValue};
use pgherd_api::COMPATIBLE_VERSION;
use pgherd_settings::{ClientLogin, Restapi, VerifyClient};
use tracing::warn;

/// Names in the allowlist are looked up for no longer than this, all of them together.
const LOOKUP_MAX: Duration = Duration::from_secs(1);

/// How to answer.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    /// The Server header.
    pub(crate) server: HeaderValue,
    /// Headers on every answer that is no error page.
    pub(crate) headers: HeaderMap,
    /// What unsafe requests must present.
    pub(crate) login: Option<ClientLogin>,
    /// Who may send unsafe requests; everybody when empty and members are not asked for.
    pub(crate) allowed: Vec<Network>,
    /// Whether an allowlist is set, also when none of its names could be found.
    pub(crate) has_allowlist: bool,
    /// Members of the cluster may send them, too.
    pub(crate) members_allowed: bool,
    /// Unsafe requests need a client certificate.
    pub(crate) needs_certificate: bool,
}

/// An address or a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    base: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `10.0.0.1`, `10.0.0.0/8` or an IPv6 one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = base.trim_matches(['[', ']']).parse().ok()?;
        let all = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(all), |bits| {
            bits.parse().ok().filter(|bits| *bits <= all)
        })?;
        Some(Self { base, bits })
    }

    /// The network of one address.
    pub(crate) fn of_host(base: IpAddr) -> Self {
        let base = base.to_canonical();
        Self {
            base,
            bits: if base.is_ipv4() { 32 } else { 128 },
        }
    }

    /// Whether `address` is in it. An IPv4 address that came in over IPv6 counts as IPv4.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let wide = |address: IpAddr| match address {
            IpAddr::V4(address) => (32, u128::from(u32::from(address))),
            IpAddr::V6(address) => (128, u128::from(address)),
        };
        let ((width, base), (other_width, address)) =
            (wide(self.base), wide(address.to_canonical()));
        let dropped = u32::from(width - self.bits);
        width == other_width
            && base.checked_shr(dropped).unwrap_or(0) == address.checked_shr(dropped).unwrap_or(0)
    }
}

impl Manner {
    /// Prepares the settings; looks names of the allowlist up.
    pub(crate) async fn new(restapi: &Restapi) -> Self {
        let mut headers = HeaderMap::new();
        add(&mut headers, &restapi.http_extra_headers);
        let tls = restapi.certfile.is_some();
        if tls {
            add(&mut headers, &restapi.https_extra_headers);
        }
        Self {
            server: server(&restapi.server_tokens),
            headers,
            login: restapi.authentication.clone(),
            allowed: networks(&restapi.allowlist).await,
            has_allowlist: !restapi.allowlist.is_empty(),
            members_allowed: restapi.allowlist_include_members,
            needs_certificate: tls && restapi.verify_client != VerifyClient::None,
        }
    }
}

fn server(tokens: &str) -> HeaderValue {
    let text = match tokens.to_ascii_lowercase().as_str() {
        "productonly" => "Patroni".to_owned(),
        "minimal" => format!("Patroni/{COMPATIBLE_VERSION}"),
        _ => concat!("pgherd/", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("pgherd"))
}

fn add(headers: &mut HeaderMap, given: &BTreeMap<String, String>) {
    for (name, value) in given {
        match (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => {
                headers.insert(name, value);
            }
            (Ok(_), Err(_)) | (Err(_), _) => {
                warn!(header = %name, "leave out an extra header that HTTP does not allow");
            }
        }
    }
}

async fn networks(allowlist: &[String]) -> Vec<Network> {
    let deadline = tokio::time::Instant::now() + LOOKUP_MAX;
    let mut networks = Vec::new();
    for entry in allowlist {
        if let Some(network) = Network::parse(entry) {
            networks.push(network);
            continue;
        }
        match tokio::time::timeout_at(deadline, tokio::net::lookup_host((entry.as_str(), 0))).await
        {
            Ok(Ok(found)) => networks.extend(found.map(|address| Network::of_host(address.ip()))),
            Ok(Err(error)) => warn!(entry, %error, "look up a name of restapi.allowlist"),
            Err(_) => warn!(
                entry,
                "look up a name of restapi.allowlist: no answer in time"
            ),
        }
    }
    networks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses_and_no_others() {
        for (network, address, holds) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("fd00::/8", "fd12::1", true),
            ("::/0", "fd12::1", true),
            ("fd00::/64", "fd00:0:0:1::1", false),
        ] {
            let found = Network::parse(network)
                .unwrap()
                .contains(address.parse().unwrap());
            assert_eq!(found, holds, "{network} {address}");
        }
        for text in ["node1", "10.0.0.0/33", "10.0.0/8", ""] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_server_header_says_as_much_as_is_set() {
        assert_eq!(server("ProductOnly"), "Patroni");
        assert_eq!(server("minimal"), "Patroni/4.1.5");
        assert!(server("original").to_str().unwrap().starts_with("pgherd/"));
    }
}
