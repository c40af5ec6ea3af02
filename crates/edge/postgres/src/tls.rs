//! TLS towards PostgreSQL servers, with libpq's words: `sslmode`, `sslrootcert`, `sslcert`, `sslkey`.

use std::sync::Arc;

use pgherd_settings::{Login, Secret};
use pgherd_tls::Nameless;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, Error, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// Where `sslrootcert=system` finds certificates.
const SYSTEM_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Why TLS can not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key file.
    #[error("can not use {what} {path}: {why}")]
    File {
        /// Which setting.
        what: &'static str,
        /// Its file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A mode that libpq does not know either.
    #[error("`{0}` is no sslmode; use disable, allow, prefer, require, verify-ca or verify-full")]
    Mode(String),
    /// Certificates are to be checked, and there is nothing to check them against.
    #[error("sslmode {0} needs sslrootcert")]
    NoRoots(String),
    /// rustls refuses the combination.
    #[error("{0}")]
    Refused(String),
}

/// How far the server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Nothing,
    Chain,
    ChainAndName,
}

/// The settings for a login's connections; `None` when it wants no TLS.
///
/// # Errors
/// When the login's words or files can not be used.
pub fn client_config(login: &Login) -> Result<Option<ClientConfig>, TlsError> {
    let mode = login.sslmode.as_deref().unwrap_or("prefer");
    let check = match mode {
        "disable" | "allow" => return Ok(None),
        // As in libpq, a root certificate makes `require` check the chain.
        "prefer" => Check::Nothing,
        "require" if login.sslrootcert.is_none() => Check::Nothing,
        "require" | "verify-ca" => Check::Chain,
        "verify-full" => Check::ChainAndName,
        other => return Err(TlsError::Mode(other.to_owned())),
    };
    let provider = Arc::new(ring::default_provider());
    let refused = |error: Error| TlsError::Refused(error.to_string());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(refused)?;
    let verifier: Arc<dyn ServerCertVerifier> = match check {
        Check::Nothing => Arc::new(Nameless::new(None, provider)),
        Check::Chain => {
            let chain = roots(login, mode, &provider)?;
            Arc::new(Nameless::new(Some(chain), provider))
        }
        Check::ChainAndName => roots(login, mode, &provider)?,
    };
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match (&login.sslcert, &login.sslkey) {
        (Some(cert), Some(key)) => {
            let chain = certificates("sslcert", cert.as_str())?;
            let wrong = |why: String| TlsError::File {
                what: "sslkey",
                path: key.to_string(),
                why,
            };
            let pem = fs_err::read(key).map_err(|error| wrong(error.to_string()))?;
            let passphrase = login.sslpassword.as_ref().map(Secret::reveal);
            let key = pgherd_keyfile::private_key(&pem, passphrase)
                .map_err(|error| wrong(error.to_string()))?;
            builder.with_client_auth_cert(chain, key).map_err(refused)?
        }
        (Some(_), None) | (None, Some(_)) | (None, None) => builder.with_no_client_auth(),
    };
    Ok(Some(config))
}

fn certificates(what: &'static str, path: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |why: String| TlsError::File {
        what,
        path: path.to_owned(),
        why,
    };
    let read = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(error.to_string()))?;
    if read.is_empty() {
        return Err(wrong("it holds no certificate".to_owned()));
    }
    Ok(read)
}

fn roots(
    login: &Login,
    mode: &str,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let path = match login.sslrootcert.as_deref() {
        Some("system") => SYSTEM_BUNDLE,
        Some(path) => path,
        None => return Err(TlsError::NoRoots(mode.to_owned())),
    };
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(certificates("sslrootcert", path)?);
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
        .build()
        .map_err(|error| TlsError::Refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(mode: &str, rootcert: Option<&str>) -> Login {
        Login {
            sslmode: Some(mode.into()),
            sslrootcert: rootcert.map(Into::into),
            ..Login::default()
        }
    }

    #[test]
    fn each_mode_means_what_it_means_to_libpq() {
        assert!(client_config(&login("disable", None)).unwrap().is_none());
        assert!(client_config(&Login::default()).unwrap().is_some());
        assert!(client_config(&login("require", None)).unwrap().is_some());
        let error = client_config(&login("verify-full", None)).unwrap_err();
        assert!(error.to_string().contains("needs sslrootcert"), "{error}");
        let error = client_config(&login("require", Some("/no/such.crt"))).unwrap_err();
        assert!(error.to_string().contains("/no/such.crt"), "{error}");
        let error = client_config(&login("maybe", None)).unwrap_err();
        assert!(error.to_string().contains("`maybe`"), "{error}");
    }
}
