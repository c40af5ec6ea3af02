//! TLS of the server: its certificate, and what it wants of clients (contract §16.1, §16.2).

use std::io;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use pgherd_keyfile::KeyError;
use pgherd_settings::{Restapi, Secret, VerifyClient};
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::ciphers;

/// Why TLS can not be set up. What to do is in the text.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can not be read.
    #[error("read {setting} {path}")]
    Read {
        /// The setting that names it.
        setting: &'static str,
        /// Which.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds nothing of what it should.
    #[error("{setting} {path} holds no {what}; give a PEM file")]
    Empty {
        /// The setting that names it.
        setting: &'static str,
        /// Which.
        path: Utf8PathBuf,
        /// `certificate`.
        what: &'static str,
    },
    /// The key's file does not give it.
    #[error("restapi.keyfile {path} {source}")]
    Key {
        /// Which.
        path: Utf8PathBuf,
        /// Why; a passphrase is `restapi.keyfile_password`.
        source: KeyError,
    },
    /// Clients are to be checked, against nothing.
    #[error(
        "restapi.verify_client needs restapi.cafile: the certificates that clients are checked against"
    )]
    NoCafile,
    /// rustls refuses what the files hold.
    #[error("set up TLS with {path}")]
    Refused {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The TLS side of the server; `None` when it is not turned on.
pub(crate) fn config(restapi: &Restapi) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    let Some(certfile) = &restapi.certfile else {
        return Ok(None);
    };
    let refused = |source: rustls::Error| TlsError::Refused {
        path: certfile.clone(),
        source: Box::new(source),
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(provider(restapi)))
        .with_safe_default_protocol_versions()
        .map_err(refused)?;
    let builder = match verifier(restapi)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let keyfile = restapi.keyfile.as_ref().unwrap_or(certfile);
    let chain = certificates("restapi.certfile", certfile)?;
    let config = builder
        .with_single_cert(
            chain,
            private_key(keyfile, restapi.keyfile_password.as_ref())?,
        )
        .map_err(refused)?;
    Ok(Some(Arc::new(config)))
}

/// The ciphers that are offered: those of TLS 1.3, and of TLS 1.2 those that `restapi.ciphers` leaves.
fn provider(restapi: &Restapi) -> CryptoProvider {
    let mut provider = ring::default_provider();
    let Some(list) = &restapi.ciphers else {
        return provider;
    };
    let selected = ciphers::selected(list);
    if selected.is_empty() {
        tracing::warn!(
            "restapi.ciphers {list} leaves no cipher of TLS 1.2 that is offered here: clients need TLS 1.3"
        );
    }
    let place = |suite: &SupportedCipherSuite| match suite {
        SupportedCipherSuite::Tls13(_) => Some(0),
        SupportedCipherSuite::Tls12(_) => {
            let place = selected.iter().position(|id| *id == suite.suite());
            place.map(|place| place + 1)
        }
    };
    provider
        .cipher_suites
        .retain(|suite| place(suite).is_some());
    provider.cipher_suites.sort_by_key(place);
    provider
}

fn verifier(restapi: &Restapi) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    if restapi.verify_client == VerifyClient::None {
        return Ok(None);
    }
    let cafile = restapi.cafile.as_ref().ok_or(TlsError::NoCafile)?;
    let refused = |source: Box<dyn std::error::Error + Send + Sync>| TlsError::Refused {
        path: cafile.clone(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("restapi.cafile", cafile)? {
        roots
            .add(certificate)
            .map_err(|source| refused(Box::new(source)))?;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match restapi.verify_client {
        VerifyClient::Required => builder,
        VerifyClient::Optional | VerifyClient::None => builder.allow_unauthenticated(),
    };
    builder
        .build()
        .map(Some)
        .map_err(|source| refused(Box::new(source)))
}

fn certificates(
    setting: &'static str,
    path: &Utf8Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(setting, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.unwrap_or_default();
    if found.is_empty() {
        return Err(TlsError::Empty {
            setting,
            path: path.to_owned(),
            what: "certificate",
        });
    }
    Ok(found)
}

fn private_key(
    path: &Utf8Path,
    passphrase: Option<&Secret>,
) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = read("restapi.keyfile", path)?;
    let key = pgherd_keyfile::private_key(&pem, passphrase.map(Secret::reveal));
    key.map_err(|source| TlsError::Key {
        path: path.to_owned(),
        source,
    })
}

fn read(setting: &'static str, path: &Utf8Path) -> Result<Vec<u8>, TlsError> {
    fs_err::read(path).map_err(|source| TlsError::Read {
        setting,
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_tls_1_2_only_what_the_list_leaves_is_offered() {
        let offered = |list: &str| {
            let restapi = Restapi {
                ciphers: Some(list.to_owned()),
                ..Restapi::default()
            };
            let suites = provider(&restapi).cipher_suites;
            let old = suites.iter().filter(|suite| suite.tls13().is_none());
            (suites.len(), old.count())
        };
        assert_eq!(offered("ECDHE-RSA-AES128-GCM-SHA256"), (4, 1));
        assert_eq!(offered("DEFAULT"), (9, 6));
        assert_eq!(offered("AES256-SHA"), (3, 0));
    }
}
