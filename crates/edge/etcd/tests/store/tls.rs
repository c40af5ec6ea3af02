//! TLS with certificates on both sides.

use pgherd_etcd::EtcdOptions;
use pgherd_ports::{Acquisition, Condition, Dcs as _, Key};
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
    let with = |tls: EtcdTls| {
        let mut options: EtcdOptions = options(servers.urls());
        options.etcd.tls = tls;
        options
    };
    let full = EtcdTls {
        cacert: Some(made.path("ca.crt")),
        cert: Some(made.path("client.crt")),
        key: Some(made.path("client.key")),
    };
    let dcs = member("a", with(full.clone()));
    ready(&dcs).await;
    assert_eq!(dcs.acquire_leader().await.unwrap(), Acquisition::Mine);
    dcs.put(&Key::Status, "{}", Condition::LEADING)
        .await
        .unwrap();

    for broken in [
        EtcdTls {
            cert: None,
            key: None,
            ..full.clone()
        },
        EtcdTls {
            cacert: Some(made.path("stranger.crt")),
            ..full.clone()
        },
        EtcdTls {
            cacert: Some(made.path("missing.crt")),
            ..full.clone()
        },
        EtcdTls::default(),
    ] {
        let said = text(member("b", with(broken.clone())).load().await);
        assert!(said.contains(&servers.urls()[0]), "{broken:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_may_be_in_the_certificates_file() {
    let made = Certificates::make();
    let server = [
        format!("--cert-file={}", made.path("server.crt")),
        format!("--key-file={}", made.path("server.key")),
        format!("--trusted-ca-file={}", made.path("ca.crt")),
        "--client-cert-auth".to_owned(),
    ];
    let servers = Servers::start_with(1, "https", &server);
    let both = ["client.crt", "client.key"].map(|name| fs_err::read(made.path(name)).unwrap());
    fs_err::write(made.path("both.pem"), both.concat()).unwrap();
    let mut options = options(servers.urls());
    options.etcd.tls = EtcdTls {
        cacert: Some(made.path("ca.crt")),
        cert: Some(made.path("both.pem")),
        key: None,
    };
    ready(&member("a", options)).await;
}
