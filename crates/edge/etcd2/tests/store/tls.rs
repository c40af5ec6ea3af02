//! TLS with certificates on both sides.

use pgherd_ports::{Acquisition, Dcs as _};
use pgherd_settings::EtcdTls;

use crate::certificates::Certificates;
use crate::server::Servers;
use crate::{member, options, ready, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_show_their_certificates() {
    let made = Certificates::make();
    let server = [
        format!("--cert-file={}", made.path("server.crt")),
        format!("--key-file={}", made.path("server.key")),
        format!("--trusted-ca-file={}", made.path("ca.crt")),
        "--client-cert-auth".to_owned(),
    ];
    let servers = Servers::start_with(1, "https", &server);
    let mut options = options(servers.urls());
    options.etcd.tls = EtcdTls {
        cacert: Some(made.path("ca.crt")),
        cert: Some(made.path("client.crt")),
        key: Some(made.path("client.key")),
    };
    let dcs = member("a", options.clone());
    ready(&dcs).await;
    assert_eq!(dcs.acquire_leader().await, Ok(Acquisition::Mine));
    options.etcd.tls.cacert = Some(made.path("stranger.crt"));
    let said = text(member("b", options).load().await);
    assert!(said.contains(&servers.urls()[0]), "{said}");
}
