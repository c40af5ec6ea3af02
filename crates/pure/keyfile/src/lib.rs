//! Private keys out of PEM files: `keyfile` with `keyfile_password`, `sslkey` with `sslpassword` (contract §2.4).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pkcs8::EncryptedPrivateKeyInfo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// Why a file gives no key. The texts follow the file's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is none in it.
    #[error("holds no private key; give a PEM file")]
    Empty,
    /// It is encrypted, and no passphrase was given.
    #[error("holds a private key that is encrypted; give its passphrase")]
    Encrypted,
    /// The passphrase is not the one, or what it unlocks is no key.
    #[error("holds an encrypted private key that the passphrase does not open: {0}")]
    Passphrase(String),
    /// Encrypted as OpenSSL did before PKCS#8.
    #[error(
        "holds a private key that is encrypted in an old form; convert it with `openssl pkcs8 -topk8 -in FILE -out \
         NEW`"
    )]
    OldForm,
}

/// The first private key in `pem`. `passphrase` is used for one that is encrypted as PKCS#8 says.
///
/// # Errors
/// When there is none, or it can not be decrypted.
pub fn private_key(
    pem: &[u8],
    passphrase: Option<&str>,
) -> Result<PrivateKeyDer<'static>, KeyError> {
    if let Ok(key) = PrivateKeyDer::from_pem_slice(pem) {
        let text = String::from_utf8_lossy(pem);
        return if text.contains("Proc-Type: 4,ENCRYPTED") {
            Err(KeyError::OldForm)
        } else {
            Ok(key)
        };
    }
    let text = String::from_utf8_lossy(pem);
    let body = text
        .split_once(BEGIN)
        .and_then(|(_, rest)| rest.split_once(END));
    let Some((body, _)) = body else {
        return Err(if text.contains("ENCRYPTED") {
            KeyError::OldForm
        } else {
            KeyError::Empty
        });
    };
    let passphrase = passphrase.ok_or(KeyError::Encrypted)?;
    let body: String = body.split_whitespace().collect();
    let der = BASE64_STANDARD
        .decode(body)
        .map_err(|error| KeyError::Passphrase(error.to_string()))?;
    let wrong = |error: pkcs8::Error| KeyError::Passphrase(error.to_string());
    let locked = EncryptedPrivateKeyInfo::try_from(der.as_slice())
        .map_err(|error| KeyError::Passphrase(error.to_string()))?;
    let key = locked.decrypt(passphrase).map_err(wrong)?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl ecparam -genkey -name prime256v1 -noout | openssl pkcs8 -topk8 -v2 aes-256-cbc -passout pass:secret`
    const LOCKED: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAi6dyLpZkleYQICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEDIGWm9WW7hDxVWALZAH35wEgZCI
ckYPkn6ohkz74IMgBvogwLWCsDn7rWI6afzeG4cFDtVaSsplyb/oKuNAoleIOE+P
lbVshkRGWHN2HSjOjqxm9RKdbUrSmq69JhrFOJVUbdnEsVewq+y0NW7CpRZRHQdu
tUwGWmTKJDULO2hQNtbHa2za2KhKUyv36Rohvv0HoLIfRFhe4xhoItR2INMq9ss=
-----END ENCRYPTED PRIVATE KEY-----
";

    #[test]
    fn an_encrypted_key_opens_with_its_passphrase_only() {
        let key = private_key(LOCKED.as_bytes(), Some("secret")).unwrap();
        assert!(matches!(key, PrivateKeyDer::Pkcs8(_)));
        let wrong = private_key(LOCKED.as_bytes(), Some("wrong"));
        assert!(matches!(wrong, Err(KeyError::Passphrase(_))), "{wrong:?}");
        let none = private_key(LOCKED.as_bytes(), None).unwrap_err();
        assert_eq!(none, KeyError::Encrypted);
    }

    #[test]
    fn what_is_no_key_is_told_apart() {
        let old = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n\
                   -----END EC PRIVATE KEY-----\n";
        let said = |text: &str| private_key(text.as_bytes(), Some("x")).unwrap_err();
        assert_eq!(said(old), KeyError::OldForm);
        assert_eq!(said("nothing"), KeyError::Empty);
        let torn = format!("{BEGIN}\n???\n{END}\n");
        assert!(matches!(said(&torn), KeyError::Passphrase(_)));
    }
}
