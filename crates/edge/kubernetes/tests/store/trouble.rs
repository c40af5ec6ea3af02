//! Servers that refuse, that are silent, that want another token; certificates.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use camino::Utf8PathBuf;
use pgherd_kube_api::{KubeApi, Options, Verdict};
use pgherd_kubernetes::Surroundings;
use pgherd_ports::{Condition, Dcs as _, DcsError, Key, Leading};
use pgherd_settings::Store;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::certificates::Certificates;
use crate::{NAMESPACE, Ours, RUNNING, TTL, join, kubeconfig, member, name, options, pod};

/// The first requests of a method get a verdict.
fn first(ours: &Ours, count: u32, method: &'static str, verdict: Verdict) {
    let met = AtomicU32::new(0);
    ours.api.rule(move |asked, _| {
        let fits = asked == method && met.fetch_add(1, Ordering::SeqCst) < count;
        if fits { verdict } else { Verdict::Serve }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_is_waited_for_and_what_does_not_is_told() {
    let ours = Ours::start().await;
    let a = ours.member("a");
    join(&a, "a").await;
    a.acquire_leader().await.unwrap();
    for verdict in [
        Verdict::Refuse(500),
        Verdict::Refuse(503),
        Verdict::Refuse(504),
        Verdict::Refuse(429),
        Verdict::RefuseForNow(418),
        // A policy that is being changed.
        Verdict::Refuse(403),
        Verdict::Refuse(409),
    ] {
        first(&ours, 1, "PATCH", verdict);
        let renewal = a.renew().await.unwrap();
        assert_eq!(
            (renewal.alive, renewal.leading),
            (true, Leading::Me),
            "{verdict:?}"
        );
    }
    first(&ours, 100, "GET", Verdict::Refuse(403));
    let denied = a.load().await.unwrap_err();
    assert!(matches!(denied, DcsError::Denied(_)), "{denied}");
    // A code that a reload makes one of those that pass.
    first(&ours, 2, "GET", Verdict::Refuse(418));
    let refused = a.load().await.unwrap_err();
    assert!(refused.to_string().contains("418"), "{refused}");
    let mut settings = ours.options().kubernetes;
    settings.retriable_http_codes = vec![418];
    a.configure(&Store::Kubernetes(settings));
    first(&ours, 2, "GET", Verdict::Refuse(418));
    a.load().await.unwrap();

    ours.api.rule(|_, _| Verdict::Serve);
    let nobody = member("nobody", ours.options());
    let key = Key::Member(name("nobody"));
    let missing = nobody
        .put(&key, RUNNING, Condition::ALWAYS)
        .await
        .unwrap_err();
    assert!(
        missing.to_string().contains("must be called as its pod is"),
        "{missing}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_ends_in_time_and_everything_goes_on_behind_it() {
    let ours = Ours::start().await;
    let a = ours.member("a");
    a.acquire_leader().await.unwrap();
    // One silence is got over within the renewal.
    first(&ours, 1, "PATCH", Verdict::Ignore);
    assert_eq!(a.renew().await.unwrap().leading, Leading::Me);
    ours.api.rule(|_, _| Verdict::Ignore);
    let begun = Instant::now();
    let silent = a.renew().await.unwrap_err();
    assert!(silent.to_string().contains("no answer"), "{silent}");
    assert!(begun.elapsed() < TTL / 2, "{:?}", begun.elapsed());
    let begun = Instant::now();
    a.load().await.unwrap_err();
    assert!(begun.elapsed() < TTL, "{:?}", begun.elapsed());
    ours.api.rule(|_, _| Verdict::Serve);
    assert_eq!(a.renew().await.unwrap().leading, Leading::Me);
}

/// The TLS side of a server with this certificate.
pub(crate) fn tls(made: &Certificates, certificate: &str) -> Arc<rustls::ServerConfig> {
    let chain = CertificateDer::pem_file_iter(made.path(&format!("{certificate}.crt")));
    let chain: Vec<_> = chain.unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(made.path(&format!("{certificate}.key"))).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(
        builder
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap(),
    )
}

/// In a pod: the address out of the environment, the token out of a file that Kubernetes replaces, its own certificates.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_logs_in_with_a_token_that_changes() {
    let made = Certificates::make();
    let api = KubeApi::start(Options {
        tls: Some(tls(&made, "server")),
        token: Some("one".to_owned()),
        ..Options::default()
    });
    let api = api.await.unwrap();
    api.create("pods", NAMESPACE, pod("a", "demo")).unwrap();
    let dir = TempDir::new().unwrap();
    let account = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
    fs_err::copy(made.path("ca.crt"), account.join("ca.crt")).unwrap();
    fs_err::write(account.join("token"), "one\n").unwrap();
    let address = api.address();
    let around = Surroundings {
        service: Some((address.ip().to_string(), address.port().to_string())),
        account: account.clone(),
        kubeconfigs: Vec::new(),
    };
    let mut given = options(account.join("none"));
    given.surroundings = around;
    // Nobody tells where the servers are, so the service is asked as before.
    given.kubernetes.bypass_api_service = true;
    let a = member("a", given.clone());
    join(&a, "a").await;
    a.acquire_leader().await.unwrap();
    // Replaced on both sides; the server refuses the old one at once.
    fs_err::write(account.join("token"), "two\n").unwrap();
    api.set_token("two");
    assert_eq!(a.renew().await.unwrap().leading, Leading::Me);
    api.set_token("three");
    let refused = a.load().await.unwrap_err();
    assert!(refused.to_string().contains("401"), "{refused}");
    api.set_token("two");

    given.kubernetes.cacert = Some(made.path("stranger.crt"));
    let refused = member("a", given.clone()).load().await.unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");
    given.surroundings.service = None;
    let lost = member("a", given).load().await.unwrap_err();
    assert!(
        lost.to_string().contains("KUBERNETES_SERVICE_HOST"),
        "{lost}"
    );
    let begun = Instant::now();
    let file = account.join("config");
    kubeconfig(&file, "http://127.0.0.1:1", "");
    let refused = member("a", options(file)).load().await.unwrap_err();
    assert!(refused.to_string().contains("refused"), "{refused}");
    assert!(begun.elapsed() < TTL);
}
