//! Certificates and user towards etcd, made into connection options.

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8Path;
use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use pgherd_settings::EtcdTls;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::timeout;

use crate::connect::Connect;
use crate::fault::{Fault, needs_no_login};
use crate::pace::connecting;
use crate::user::User;

/// Pings more often than each five seconds make etcd close the connection.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// How long a ping may stay unanswered.
const PING_PATIENCE: Duration = Duration::from_secs(4);

/// How connections are made: the same for every endpoint.
#[derive(Debug)]
pub struct Login {
    /// Certificates and key.
    pub(crate) tls: EtcdTls,
    /// User and password of etcd's own authentication.
    pub(crate) user: User,
    /// The lease's ttl, from which the deadlines follow.
    pub(crate) ttl: Duration,
}

impl Connect for Login {
    type Client = Client;

    /// Without a user this touches no network: the first request connects.
    async fn connect(&self, url: &str) -> Result<Client, Fault> {
        let patience = connecting(self.ttl);
        let options = self.options(url)?;
        let Some((user, password)) = self.user.now() else {
            return Ok(Client::connect([url], Some(options)).await?);
        };
        let with_user = options.clone().with_user(user, password.reveal());
        match timeout(patience, Client::connect([url], Some(with_user))).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) if needs_no_login(&error) => {
                tracing::debug!(endpoint = url, "etcd needs no user; go on without");
                Ok(Client::connect([url], Some(options)).await?)
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(Fault::silent(format!(
                "no answer to the login in {patience:?}"
            ))),
        }
    }

    fn logs_in(&self) -> bool {
        self.user.now().is_some()
    }

    fn ttl(&self) -> Duration {
        self.ttl
    }
}

impl Login {
    fn options(&self, url: &str) -> Result<ConnectOptions, Fault> {
        let options = ConnectOptions::new()
            .with_connect_timeout(connecting(self.ttl))
            .with_keep_alive(PING_INTERVAL, PING_PATIENCE)
            // etcd allows pings only beside open requests.
            .with_keep_alive_while_idle(false)
            .with_tcp_keepalive(PING_INTERVAL)
            // A member without a leader says so at once instead of letting us wait.
            .with_require_leader(true);
        if !url.starts_with("https://") {
            return Ok(options);
        }
        let mut tls = TlsOptions::new();
        tls = match &self.tls.cacert {
            Some(path) => tls.ca_certificate(Certificate::from_pem(read(path)?)),
            None => tls.with_native_roots(),
        };
        if let Some(cert) = &self.tls.cert {
            let key = self.tls.key.as_ref().unwrap_or(cert);
            tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
        }
        Ok(options.with_tls(tls))
    }
}

/// A client for what etcd's members say over HTTP.
pub(crate) fn http_client(tls: &EtcdTls, patience: Duration) -> Result<reqwest::Client, String> {
    let builder = http_builder(tls, true)?.timeout(patience);
    builder.build().map_err(|error| error.to_string())
}

/// A client of HTTP that checks and shows the certificates that are given, read from their files as they are now. The
/// host's own authorities count where none is given and connections are to be `encrypted`.
///
/// # Errors
/// When a file can not be read, or has no certificate.
pub fn http_builder(tls: &EtcdTls, encrypted: bool) -> Result<reqwest::ClientBuilder, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut roots = rustls::RootCertStore::empty();
    match (&tls.cacert, encrypted) {
        (Some(path), _) => roots.add_parsable_certificates(certificates(path)?),
        // Reading the host's own takes a while.
        (None, true) => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)
        }
        (None, false) => (0, 0),
    };
    let builder = builder.with_root_certificates(roots);
    let config = match &tls.cert {
        None => builder.with_no_client_auth(),
        Some(cert) => {
            let path = tls.key.as_ref().unwrap_or(cert);
            let key =
                PrivateKeyDer::from_pem_file(path).map_err(|error| format!("{path}: {error}"))?;
            builder
                .with_client_auth_cert(certificates(cert)?, key)
                .map_err(|error| error.to_string())?
        }
    };
    Ok(reqwest::Client::builder().tls_backend_preconfigured(config))
}

fn certificates(path: &Utf8Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    read.map_err(|error| format!("{path}: {error}"))
}

fn read(path: &Utf8Path) -> Result<Vec<u8>, Fault> {
    fs_err::read(path).map_err(|error| Fault::silent(error.to_string()))
}
