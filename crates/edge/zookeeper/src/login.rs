//! What every connection begins with: a session, certificates, credentials; and the ACL of new nodes.

use std::sync::Arc;
use std::time::Duration;

use pgherd_settings::{HostPort, Secret, ZooKeeperTls};
use pgherd_tls::Nameless;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;

use crate::fault::Fault;
use crate::request::Acl;

const ALL_PERMISSIONS: i32 = 31;

/// A session as far as one side knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    /// ZooKeeper's number for it; 0: none yet.
    pub(crate) id: i64,
    /// With it the session is taken up on another connection.
    pub(crate) password: [u8; 16],
    /// How long it was to live without a sign of life.
    pub(crate) asked: Duration,
    /// How long it does: servers have limits of their own.
    pub(crate) lives: Duration,
}

impl Session {
    /// One that is to begin.
    pub(crate) const fn new(ttl: Duration) -> Self {
        Self {
            id: 0,
            password: [0; 16],
            asked: ttl,
            lives: ttl,
        }
    }

    /// Whole milliseconds, rounded up: it must not end before we believe it does.
    pub(crate) fn timeout_millis(&self) -> i32 {
        let millis = self.asked.as_nanos().div_ceil(1_000_000);
        i32::try_from(millis).unwrap_or(i32::MAX)
    }

    /// The same as a server granted it. Servers may have different limits, and the one that counts when
    /// ZooKeeper elects a leader is that of the beginning: the shortest of all is what is believed.
    pub(crate) fn granted(mut self, id: i64, millis: i32) -> Self {
        let granted = Duration::from_millis(u64::from(millis.unsigned_abs()));
        self.lives = match self.id {
            0 => granted,
            _ => granted.min(self.lives),
        };
        self.id = id;
        self
    }
}

/// Certificates, credentials and ACL: the same for every server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Login {
    tls: Option<ZooKeeperTls>,
    auth: Vec<(String, Secret)>,
    acl: Vec<Acl>,
}

impl Login {
    pub(crate) fn new(settings: &pgherd_settings::ZooKeeper) -> Self {
        let mut acl: Vec<Acl> = settings
            .acls
            .iter()
            .map(|one| Acl {
                permissions: i32::from(one.permissions),
                scheme: "x509".into(),
                id: one.principal.clone(),
            })
            .collect();
        if acl.is_empty() {
            acl.push(Acl {
                permissions: ALL_PERMISSIONS,
                scheme: "world".into(),
                id: "anyone".into(),
            });
        }
        Self {
            tls: settings.tls.clone(),
            auth: settings.auth.clone(),
            acl,
        }
    }

    /// What new nodes get.
    pub(crate) fn acl(&self) -> &[Acl] {
        &self.acl
    }

    /// Schemes and credentials that are sent on every connection.
    pub(crate) fn credentials(&self) -> impl Iterator<Item = (&str, &str)> {
        self.auth
            .iter()
            .map(|(scheme, secret)| (scheme.as_str(), secret.reveal()))
    }

    /// TLS, when it is in use. Files are read again each time, so that renewed certificates need no restart.
    pub(crate) fn connector(&self) -> Result<Option<TlsConnector>, Fault> {
        let Some(tls) = &self.tls else {
            return Ok(None);
        };
        let config = config(tls).map_err(Fault::Passing)?;
        Ok(Some(TlsConnector::from(Arc::new(config))))
    }

    /// The name of a server in its certificate; it is not compared with it (contract §2.4).
    pub(crate) fn server_name(server: &HostPort) -> Result<ServerName<'static>, Fault> {
        ServerName::try_from(server.host.clone())
            .map_err(|error| Fault::Final(format!("`{}` is no host: {error}", server.host)))
    }
}

/// Checks the chain of the servers' certificates; their names are not compared, for Patroni does not either and
/// servers of an ensemble often share one.
fn config(tls: &ZooKeeperTls) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let chain = if tls.verify {
        let mut roots = RootCertStore::empty();
        match &tls.cacert {
            Some(path) => roots.add_parsable_certificates(certificates(path)?),
            None => roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
        };
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| error.to_string())?;
        Some(verifier)
    } else {
        None
    };
    let verifier: Arc<dyn ServerCertVerifier> = Arc::new(Nameless::new(chain, provider));
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some(cert) = &tls.cert else {
        return Ok(builder.with_no_client_auth());
    };
    let path = tls.key.as_ref().unwrap_or(cert);
    let pem = fs_err::read(path).map_err(|error| error.to_string())?;
    let passphrase = tls.key_password.as_ref().map(Secret::reveal);
    let key =
        pgherd_keyfile::private_key(&pem, passphrase).map_err(|error| format!("{path} {error}"))?;
    builder
        .with_client_auth_cert(certificates(cert)?, key)
        .map_err(|error| error.to_string())
}

fn certificates(path: &camino::Utf8Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    read.map_err(|error| format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_promise_of_any_server_counts() {
        let asked = Session::new(Duration::from_secs(60));
        assert_eq!(asked.timeout_millis(), 60_000);
        let begun = asked.granted(7, 40_000);
        assert_eq!(begun.lives, Duration::from_secs(40));
        assert_eq!(begun.granted(7, 60_000).lives, Duration::from_secs(40));
        assert_eq!(begun.granted(7, 30_000).lives, Duration::from_secs(30));
    }

    #[test]
    fn a_part_of_a_millisecond_counts_as_a_whole_one() {
        assert_eq!(
            Session::new(Duration::from_micros(2500)).timeout_millis(),
            3
        );
    }
}
