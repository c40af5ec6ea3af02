//! `bypass_api_service`: servers are asked directly, if the account may know where they are.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use camino::Utf8PathBuf;
use pgherd_kube_api::{KubeApi, Options, Verdict};
use pgherd_kubernetes::{KubernetesOptions, Surroundings};
use pgherd_ports::{Condition, Dcs as _, Key};
use serde_json::json;
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::trouble::tls;
use crate::{NAMESPACE, RUNNING, join, member, name, options, pod};

/// A certificate of the same authority for the name that all API servers bear.
fn by_name(made: &Certificates) {
    let lines = [
        "req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=direct -keyout direct.key -out direct.csr",
        "x509 -req -in direct.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile direct.names -out direct.crt",
    ];
    let names = "subjectAltName=DNS:kubernetes.default.svc";
    fs_err::write(made.path("direct.names"), names).unwrap();
    for line in lines {
        let status = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(made.path("ca.crt").parent().unwrap())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "openssl {line}");
    }
}

async fn server(made: &Certificates, certificate: &str) -> KubeApi {
    let options = Options {
        tls: Some(tls(made, certificate)),
        ..Options::default()
    };
    KubeApi::start(options).await.unwrap()
}

fn in_a_pod(service: &KubeApi, account: &Utf8PathBuf) -> KubernetesOptions {
    let address = service.address();
    let mut given = options(account.join("none"));
    given.surroundings = Surroundings {
        service: Some((address.ip().to_string(), address.port().to_string())),
        account: account.clone(),
        kubeconfigs: Vec::new(),
    };
    given.kubernetes.bypass_api_service = true;
    given
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_asked_directly_unless_that_is_forbidden() {
    let made = Certificates::make();
    by_name(&made);
    let (service, direct) = (server(&made, "server").await, server(&made, "direct").await);
    let dir = TempDir::new().unwrap();
    let account = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
    fs_err::copy(made.path("ca.crt"), account.join("ca.crt")).unwrap();
    fs_err::write(account.join("token"), "x").unwrap();
    let address = direct.address();
    let endpoints = json!({"metadata": {"name": "kubernetes"}, "subsets": [{
        "addresses": [{"ip": address.ip().to_string()}],
        "ports": [{"name": "https", "port": address.port(), "protocol": "TCP"}],
    }]});
    service.create("endpoints", "default", endpoints).unwrap();

    // The pod is known to the server behind the service only.
    direct.create("pods", NAMESPACE, pod("a", "demo")).unwrap();
    let a = member("a", in_a_pod(&service, &account));
    join(&a, "a").await;
    let told = direct.get("pods", NAMESPACE, "a").unwrap();
    assert_eq!(told["metadata"]["annotations"]["status"], RUNNING);

    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    service.rule(
        move |_, path| match path.ends_with("endpoints/kubernetes") {
            true => {
                count.fetch_add(1, Ordering::SeqCst);
                Verdict::Refuse(403)
            }
            false => Verdict::Serve,
        },
    );
    service.create("pods", NAMESPACE, pod("b", "demo")).unwrap();
    let b = member("b", in_a_pod(&service, &account));
    for _ in 0..2 {
        let key = Key::Member(name("b"));
        b.put(&key, RUNNING, Condition::ALWAYS).await.unwrap();
    }
    assert!(service.get("pods", NAMESPACE, "b").is_some());
    assert_eq!(asked.load(Ordering::SeqCst), 1, "a refusal is final");
}
