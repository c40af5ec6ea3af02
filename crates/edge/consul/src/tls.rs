//! Certificates towards the agent.

use std::sync::Arc;

use camino::Utf8Path;
use pgherd_settings::ConsulTls;
use pgherd_tls::Nameless;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Where nothing is encrypted.
pub(crate) fn none() -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let nobody = RootCertStore::empty();
    Ok(builder.with_root_certificates(nobody).with_no_client_auth())
}

/// The TLS side of a client, read from the files as they are now.
pub(crate) fn config(tls: &ConsulTls) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = if tls.verify {
        let mut roots = RootCertStore::empty();
        // Reading the host's own takes a while.
        match &tls.cacert {
            Some(path) => roots.add_parsable_certificates(certificates(path)?),
            None => roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
        };
        builder.with_root_certificates(roots)
    } else {
        let anybody = Nameless::new(None, provider);
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(anybody))
    };
    match &tls.cert {
        None => Ok(builder.with_no_client_auth()),
        Some(cert) => {
            let path = tls.key.as_ref().unwrap_or(cert);
            let key =
                PrivateKeyDer::from_pem_file(path).map_err(|error| format!("{path}: {error}"))?;
            builder
                .with_client_auth_cert(certificates(cert)?, key)
                .map_err(|error| format!("{cert}: {error}"))
        }
    }
}

fn certificates(path: &Utf8Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    read.map_err(|error| format!("{path}: {error}"))
}
