//! TLS towards other members: whose certificates are believed, and which one is shown (contract §16.2).

use std::io;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use pgherd_keyfile::KeyError;
use pgherd_settings::{Ctl, Secret};
use pgherd_tls::Nameless;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, Error, RootCertStore};

/// How far a server's certificate is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Not at all.
    Anybody,
    /// Its chain must end in this file; the host name does not matter.
    Chain(Utf8PathBuf),
    /// Chain and host name; without a file the host's own certificate store counts.
    Full(Option<Utf8PathBuf>),
}

/// Why the client can not be set up. What to do is in the text.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A file can not be read.
    #[error("read certificate file {path}")]
    Read {
        /// Which.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds nothing of what it should.
    #[error("{path} holds no {what}; give a PEM file")]
    Empty {
        /// Which.
        path: Utf8PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// The key's file does not give it.
    #[error("ctl.keyfile {path} {source}")]
    Key {
        /// Which.
        path: Utf8PathBuf,
        /// Why; a passphrase is `ctl.keyfile_password`.
        source: KeyError,
    },
    /// rustls refuses what the files hold.
    #[error("set up TLS with {path}")]
    Tls {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        source: Error,
    },
    /// The HTTP client can not be made.
    #[error("set up the HTTP client")]
    Http(#[source] reqwest::Error),
}

impl Trust {
    /// Of an agent towards its peers: no check, or the chain alone where a client certificate is in use.
    pub(crate) fn of_agent(ctl: &Ctl) -> Self {
        match (&ctl.certfile, &ctl.cacert) {
            (Some(_), Some(cacert)) if !ctl.insecure => Self::Chain(cacert.clone()),
            (Some(_) | None, Some(_) | None) => Self::Anybody,
        }
    }

    /// Of an operator: everything, unless `insecure` is set.
    pub(crate) fn of_operator(ctl: &Ctl) -> Self {
        if ctl.insecure {
            Self::Anybody
        } else {
            Self::Full(ctl.cacert.clone())
        }
    }

    /// The TLS side of the client, showing the certificate of `ctl` where there is one.
    pub(crate) fn config(&self, ctl: &Ctl) -> Result<ClientConfig, SetupError> {
        let provider = Arc::new(crypto::ring::default_provider());
        let tls = |path: &Utf8Path| {
            let path = path.to_owned();
            move |source| SetupError::Tls { path, source }
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(tls("the built-in protocol versions".into()))?;
        let builder = match self {
            Self::Full(cacert) => {
                let roots = match cacert {
                    Some(path) => roots_of(path)?,
                    None => roots_of_host(),
                };
                builder.with_root_certificates(roots)
            }
            Self::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Nameless::new(None, provider))),
            Self::Chain(path) => {
                let roots = Arc::new(roots_of(path)?);
                let chain =
                    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                        .build()
                        .map_err(|_| SetupError::Empty {
                            path: path.clone(),
                            what: "certificate",
                        })?;
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(Nameless::new(
                        Some(chain),
                        provider,
                    )))
            }
        };
        let Some(certfile) = &ctl.certfile else {
            return Ok(builder.with_no_client_auth());
        };
        let keyfile = ctl.keyfile.as_ref().unwrap_or(certfile);
        builder
            .with_client_auth_cert(
                certificates(certfile)?,
                private_key(keyfile, ctl.keyfile_password.as_ref())?,
            )
            .map_err(tls(certfile))
    }
}

fn roots_of(path: &Utf8Path) -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|source| SetupError::Tls {
            path: path.to_owned(),
            source,
        })?;
    }
    Ok(roots)
}

/// The host's own store; what can not be read there is left out, as every other program does.
fn roots_of_host() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn certificates(path: &Utf8Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.unwrap_or_default();
    if found.is_empty() {
        return Err(SetupError::Empty {
            path: path.to_owned(),
            what: "certificate",
        });
    }
    Ok(found)
}

fn private_key(
    path: &Utf8Path,
    passphrase: Option<&Secret>,
) -> Result<PrivateKeyDer<'static>, SetupError> {
    let pem = read(path)?;
    let key = pgherd_keyfile::private_key(&pem, passphrase.map(Secret::reveal));
    key.map_err(|source| SetupError::Key {
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Utf8Path) -> Result<Vec<u8>, SetupError> {
    fs_err::read(path).map_err(|source| SetupError::Read {
        path: path.to_owned(),
        source,
    })
}
