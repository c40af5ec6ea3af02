//! TLS, and certificates of clients.

use std::sync::Arc;

use pgherd_settings::{Restapi, VerifyClient};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tempfile::TempDir;

use crate::stand::{LIMIT, Stand, answer};

/// An authority with a certificate for the server and one for a client, as files.
struct Papers {
    dir: TempDir,
    client: (String, String),
}

impl Papers {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let issue = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            (
                params.signed_by(&key, &authority).unwrap().pem(),
                key.serialize_pem(),
            )
        };
        let dir = TempDir::new().unwrap();
        let server = issue("node1.example");
        for (file, text) in [
            ("ca", authority.pem()),
            ("cert", server.0),
            ("key", server.1),
        ] {
            std::fs::write(dir.path().join(file), text).unwrap();
        }
        Self {
            dir,
            client: issue("operator"),
        }
    }

    fn put_in(&self, restapi: &mut Restapi, verify: VerifyClient) {
        let path = |file: &str| self.dir.path().join(file).try_into().ok();
        restapi.certfile = path("cert");
        restapi.keyfile = path("key");
        restapi.cafile = path("ca");
        restapi.verify_client = verify;
    }

    /// A client that shows its certificate.
    fn client(&self) -> reqwest::Client {
        let chain = vec![CertificateDer::from_pem_slice(self.client.0.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(self.client.1.as_bytes()).unwrap();
        let tls = builder().with_client_auth_cert(chain, key).unwrap();
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .timeout(LIMIT)
            .build()
            .unwrap()
    }
}

/// TLS that believes every server.
pub fn trusting() -> ClientConfig {
    builder().with_no_client_auth()
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::ring::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

const CHANGE: &str = r#"{"ttl": 25}"#;

#[tokio::test]
async fn a_certificate_turns_tls_on() {
    let papers = Papers::new();
    let stand = Stand::start_with(|restapi| {
        papers.put_in(restapi, VerifyClient::None);
        restapi.https_extra_headers = [("X-Only-Tls".to_owned(), "1".to_owned())].into();
    })
    .await;
    stand.show(&stand.sample());
    assert!(stand.url.starts_with("https://"));
    let response = stand
        .http
        .get(format!("{}/health", stand.url))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-only-tls"], "1");
    let plain = stand
        .http
        .get(stand.url.replace("https", "http"))
        .send()
        .await;
    assert!(plain.is_err(), "plain HTTP must not be answered");
    // and an agent asks without checking
    let changing = &stand.settings.changing;
    let peers = pgherd_peers::HttpPeers::new(&changing.ctl, &changing.restapi).unwrap();
    assert!(pgherd_ports::Peers::is_alive(&peers, &stand.url, LIMIT).await);
}

#[tokio::test]
async fn optional_certificates_are_needed_for_orders() {
    let papers = Papers::new();
    let stand = Stand::start_with(|restapi| papers.put_in(restapi, VerifyClient::Optional)).await;
    stand.show(&stand.sample());
    assert_eq!(stand.get("/config").await.0, 200);
    let refused = (403, "client certificate required".to_owned());
    assert_eq!(stand.send("PATCH", "/config", CHANGE).await, refused);
    let request = papers
        .client()
        .patch(format!("{}/config", stand.url))
        .body(CHANGE);
    assert_eq!(answer(request).await.0, 200);
}

#[tokio::test]
async fn required_certificates_are_needed_for_everything() {
    let papers = Papers::new();
    let stand = Stand::start_with(|restapi| papers.put_in(restapi, VerifyClient::Required)).await;
    stand.show(&stand.sample());
    let url = format!("{}/config", stand.url);
    assert!(stand.http.get(&url).send().await.is_err());
    assert_eq!(answer(papers.client().get(&url)).await.0, 200);
}

#[tokio::test]
async fn renewed_files_count_from_a_reload_without_another_change() {
    let (papers, renewed) = (Papers::new(), Papers::new());
    let mut stand =
        Stand::start_with(|restapi| papers.put_in(restapi, VerifyClient::Required)).await;
    stand.show(&stand.sample());
    let url = format!("{}/config", stand.url);
    assert!(renewed.client().get(&url).send().await.is_err());
    for file in ["ca", "cert", "key"] {
        std::fs::copy(renewed.dir.path().join(file), papers.dir.path().join(file)).unwrap();
    }
    stand.settings = Arc::new((*stand.settings).clone());
    stand.show(&stand.sample());
    let taken_over = async { while renewed.client().get(&url).send().await.is_err() {} };
    tokio::time::timeout(LIMIT, taken_over).await.unwrap();
}

#[tokio::test]
async fn files_that_can_not_be_used_are_named() {
    let papers = Papers::new();
    let error = |adjust: &dyn Fn(&mut Restapi)| {
        let mut settings = crate::stand::settings();
        papers.put_in(&mut settings.changing.restapi, VerifyClient::Optional);
        adjust(&mut settings.changing.restapi);
        let server = pgherd_rest::Server::bind(Arc::new(settings));
        async { server.await.unwrap_err().to_string() }
    };
    let text = error(&|restapi| restapi.certfile = Some("/no/such/file".into())).await;
    assert_eq!(text, "read restapi.certfile /no/such/file");
    let text = error(&|restapi| restapi.cafile = None).await;
    assert!(
        text.contains("restapi.verify_client needs restapi.cafile"),
        "{text}"
    );
    let text = error(&|restapi| restapi.keyfile.clone_from(&restapi.certfile)).await;
    assert!(text.contains("holds no private key"), "{text}");
    let locked = papers.dir.path().join("locked");
    let pem = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    std::fs::write(&locked, pem).unwrap();
    let text = error(&|restapi| restapi.keyfile = locked.clone().try_into().ok()).await;
    assert!(text.contains("is encrypted; give its passphrase"), "{text}");
    let text = error(&|restapi| {
        restapi.keyfile = locked.clone().try_into().ok();
        restapi.keyfile_password = Some(pgherd_settings::Secret::new("x"));
    })
    .await;
    assert!(text.contains("the passphrase does not open"), "{text}");
}
