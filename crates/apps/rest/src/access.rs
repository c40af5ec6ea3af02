//! Who may order something: allowlist, client certificate, credentials, in this order (contract §16.2).

use std::net::IpAddr;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgherd_domain::ClusterView;
use pgherd_settings::ClientLogin;
use subtle::ConstantTimeEq as _;

use crate::manner::{Manner, Network};
use crate::reply::Reply;

/// Names of members are looked up for no longer than this.
const LOOKUP_MAX: Duration = Duration::from_secs(1);

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    /// Its address.
    pub(crate) address: IpAddr,
    /// It has shown a certificate that was checked.
    pub(crate) has_certificate: bool,
}

/// Lets an unsafe request pass, or says why not. `restricted`: an allowlist counts for it.
pub(crate) async fn check(
    caller: Caller,
    headers: &HeaderMap,
    manner: &Manner,
    cluster: Option<&ClusterView>,
    restricted: bool,
) -> Result<(), Reply> {
    if restricted && !is_allowed(caller.address, manner, cluster).await {
        return Err(Reply::sentence(403, "Access is denied"));
    }
    if manner.needs_certificate && !caller.has_certificate {
        return Err(Reply::sentence(403, "client certificate required"));
    }
    match &manner.login {
        Some(login) => credentials(headers, login),
        None => Ok(()),
    }
}

async fn is_allowed(address: IpAddr, manner: &Manner, cluster: Option<&ClusterView>) -> bool {
    if manner
        .allowed
        .iter()
        .any(|network| network.contains(address))
    {
        return true;
    }
    let Some(cluster) = cluster.filter(|_| manner.members_allowed) else {
        return false;
    };
    let lookups = cluster
        .members
        .values()
        .map(|doc| is_host(address, host_of(&doc.api_url)));
    futures_util::future::join_all(lookups)
        .await
        .contains(&true)
}

async fn is_host(address: IpAddr, host: &str) -> bool {
    if let Some(network) = Network::parse(host) {
        return network.contains(address);
    }
    match tokio::time::timeout(LOOKUP_MAX, tokio::net::lookup_host((host, 0))).await {
        Ok(Ok(found)) => found
            .into_iter()
            .any(|found| Network::of_host(found.ip()).contains(address)),
        Ok(Err(_)) | Err(_) => false,
    }
}

/// Compares in constant time, so that the time of a refusal tells nothing of the password.
fn credentials(headers: &HeaderMap, login: &ClientLogin) -> Result<(), Reply> {
    let Some(given) = headers.get(AUTHORIZATION) else {
        return Err(Reply::challenge("no auth header received"));
    };
    let wanted = STANDARD.encode(format!("{}:{}", login.username, login.password.reveal()));
    let given = given.as_bytes();
    let is_basic = given
        .get(..6)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "));
    let token = given.get(6..).unwrap_or_default().trim_ascii();
    if is_basic && bool::from(token.ct_eq(wanted.as_bytes())) {
        Ok(())
    } else {
        Err(Reply::challenge("not authenticated"))
    }
}

/// The host of a URL, without brackets.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        Some(_) | None => authority,
    };
    host.trim_matches(['[', ']'])
}
