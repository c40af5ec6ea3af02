//! Certificates towards the API server.

use std::sync::Arc;

use camino::Utf8PathBuf;
use pgherd_tls::Nameless;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::place::Place;

/// Something in PEM.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Pem {
    File(Utf8PathBuf),
    Inline(Vec<u8>),
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{path}"),
            // It may be a key.
            Self::Inline(_) => f.write_str("(inline)"),
        }
    }
}

/// Whose certificate of the server is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    Of(Pem),
    /// Those whom the host trusts.
    Host,
    Anybody,
}

/// The TLS side of a client, read from the files as they are now.
pub(crate) fn config(place: &Place) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let encrypted = place.url.starts_with("https:");
    let mut roots = RootCertStore::empty();
    let builder = match &place.trust {
        _ if !encrypted => builder.with_root_certificates(roots),
        Trust::Of(pem) => {
            roots.add_parsable_certificates(pem.certificates()?);
            builder.with_root_certificates(roots)
        }
        Trust::Host => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            builder.with_root_certificates(roots)
        }
        Trust::Anybody => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Nameless::new(None, provider))),
    };
    match &place.client {
        Some((cert, key)) if encrypted => builder
            .with_client_auth_cert(cert.certificates()?, key.key()?)
            .map_err(|error| format!("{cert:?}: {error}")),
        Some(_) | None => Ok(builder.with_no_client_auth()),
    }
}

impl Pem {
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let read = match self {
            Self::File(path) => CertificateDer::pem_file_iter(path).and_then(Iterator::collect),
            Self::Inline(text) => CertificateDer::pem_slice_iter(text).collect(),
        };
        read.map_err(|error| format!("{self:?}: {error}"))
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, String> {
        let read = match self {
            Self::File(path) => PrivateKeyDer::from_pem_file(path),
            Self::Inline(text) => PrivateKeyDer::from_pem_slice(text),
        };
        read.map_err(|error| format!("{self:?}: {error}"))
    }
}
