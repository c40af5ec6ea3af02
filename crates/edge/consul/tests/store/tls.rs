//! TLS: whose certificate is believed, and which one is shown.

use pgherd_ports::Dcs as _;
use pgherd_settings::ConsulTls;
use serde_json::json;

use crate::certificates::Certificates;
use crate::server::Agent;
use crate::{member, options, ready};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_checked_on_both_sides() {
    if pgherd_testbed::consul().is_none() {
        return;
    }
    let made = Certificates::make();
    let extra = json!({
        "ca_file": made.path("ca.crt").as_str(),
        "cert_file": made.path("server.crt").as_str(),
        "key_file": made.path("server.key").as_str(),
        "verify_incoming_https": true,
    });
    let Some(server) = Agent::server_with("https", &extra) else {
        return;
    };
    let with = |tls: ConsulTls| {
        let mut options = options(server.url());
        options.consul.tls = tls;
        member("a", options)
    };
    let good = ConsulTls {
        verify: true,
        cacert: Some(made.path("ca.crt")),
        cert: Some(made.path("client.crt")),
        key: Some(made.path("client.key")),
    };
    ready(&with(good.clone())).await;
    let unchecked = ConsulTls {
        verify: false,
        cacert: None,
        ..good.clone()
    };
    with(unchecked).load().await.unwrap();

    let stranger = ConsulTls {
        cacert: Some(made.path("stranger.crt")),
        ..good.clone()
    };
    let nobody = ConsulTls {
        cert: None,
        key: None,
        ..good.clone()
    };
    let missing = ConsulTls {
        cert: Some(made.path("none.crt")),
        ..good
    };
    let [stranger, nobody, missing] = [stranger, nobody, missing].map(with);
    let refused = tokio::join!(stranger.load(), nobody.load(), missing.load());
    let said = refused.0.unwrap_err().to_string();
    assert!(said.contains("certificate"), "{said}");
    assert!(refused.1.is_err());
    let said = refused.2.unwrap_err().to_string();
    assert!(said.contains("none.crt"), "{said}");
}
