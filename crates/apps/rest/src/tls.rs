//! TLS of the server: its certificate, and what it wants of clients (contract §16.1, §16.2).

use std::io;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use pgherd_settings::{Restapi, VerifyClient};
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

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
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// The key is encrypted.
    #[error(
        "the private key in {path} is encrypted; restapi.keyfile_password is not supported: \
         decrypt it with `openssl pkey -in {path} -out KEY` and protect the file by its mode"
    )]
    Encrypted {
        /// Which.
        path: Utf8PathBuf,
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
    if restapi.ciphers.is_some() {
        tracing::warn!(
            "restapi.ciphers has no effect: only the safe ciphers of TLS 1.2 and 1.3 are offered"
        );
    }
    let refused = |source: rustls::Error| TlsError::Refused {
        path: certfile.clone(),
        source: Box::new(source),
    };
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refused)?;
    let builder = match verifier(restapi)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let keyfile = restapi.keyfile.as_ref().unwrap_or(certfile);
    let chain = certificates("restapi.certfile", certfile)?;
    let config = builder
        .with_single_cert(chain, private_key(keyfile)?)
        .map_err(refused)?;
    Ok(Some(Arc::new(config)))
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

fn private_key(path: &Utf8Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let setting = "restapi.keyfile";
    let pem = read(setting, path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        let path = path.to_owned();
        if String::from_utf8_lossy(&pem).contains("ENCRYPTED") {
            TlsError::Encrypted { path }
        } else {
            TlsError::Empty {
                setting,
                path,
                what: "private key",
            }
        }
    })
}

fn read(setting: &'static str, path: &Utf8Path) -> Result<Vec<u8>, TlsError> {
    fs_err::read(path).map_err(|source| TlsError::Read {
        setting,
        path: path.to_owned(),
        source,
    })
}
