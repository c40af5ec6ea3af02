//! A real API server, where `PGHERD_KUBE_APISERVER` names one (`scripts/kube-apiserver.sh` builds it): the contract once more,
//! and with it whether our own server is an honest one.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use camino::Utf8PathBuf;
use pgherd_testbed::wait_for;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::contract::{Pods, keeps_every_rule};
use crate::{PATIENCE, TTL, kubeconfig, pod};

const TOKEN: &str = "a-token-of-the-test";

/// The server and its etcd, which end with the test.
struct Real {
    dir: TempDir,
    port: u16,
    running: Vec<Child>,
}

impl Real {
    async fn start(binary: &Path) -> Self {
        let dir = TempDir::new().unwrap();
        let [etcd, peer, port] = [0; 3].map(|_| free());
        let mut real = Self {
            dir,
            port,
            running: Vec::new(),
        };
        let (client, peer) = (
            format!("http://127.0.0.1:{etcd}"),
            format!("http://127.0.0.1:{peer}"),
        );
        let data = real.path("etcd");
        real.run(
            Path::new("etcd"),
            &[
                ("--data-dir", data.as_str()),
                ("--listen-client-urls", &client),
                ("--advertise-client-urls", &client),
                ("--listen-peer-urls", &peer),
                ("--initial-advertise-peer-urls", &peer),
                ("--initial-cluster", &format!("default={peer}")),
            ],
        );
        let (key, tokens) = (real.path("account.key"), real.path("tokens"));
        let made = Command::new("openssl")
            .args(["genrsa", "-out", key.as_str(), "2048"])
            .stderr(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "openssl makes a key");
        fs_err::write(&tokens, format!("{TOKEN},admin,1,\"system:masters\"\n")).unwrap();
        let (certs, number) = (real.path("certs"), port.to_string());
        real.run(
            binary,
            &[
                ("--etcd-servers", client.as_str()),
                ("--secure-port", &number),
                ("--bind-address", "127.0.0.1"),
                ("--insecure-port", "0"),
                ("--cert-dir", certs.as_str()),
                ("--service-cluster-ip-range", "10.0.0.0/24"),
                ("--token-auth-file", tokens.as_str()),
                ("--authorization-mode", "RBAC"),
                ("--disable-admission-plugins", "ServiceAccount"),
                ("--service-account-issuer", "https://kubernetes.default.svc"),
                ("--service-account-key-file", key.as_str()),
                ("--service-account-signing-key-file", key.as_str()),
            ],
        );
        wait_for("the API server to be ready", PATIENCE * 2, async || {
            let ready = real.ask("GET", "/readyz", None);
            anyhow::ensure!(ready == "ok", "{ready}");
            Ok(())
        })
        .await
        .unwrap();
        kubeconfig(
            &real.path("config"),
            &format!("https://127.0.0.1:{port}"),
            &format!("token: {TOKEN}"),
        );
        real
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.dir.path().join(name)).unwrap()
    }

    fn run(&mut self, program: &Path, options: &[(&str, &str)]) {
        let log = fs_err::File::create(self.path(&format!("log{}", self.running.len())));
        let child = Command::new(program)
            .args(options.iter().map(|(name, text)| format!("{name}={text}")))
            .stdout(Stdio::null())
            .stderr(log.unwrap().into_file())
            .spawn();
        self.running.push(child.expect("it is installed"));
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> String {
        let mut command = Command::new("curl");
        command
            .args(["-sSk", "--max-time", "10", "-X", method])
            .args(["-H", &format!("Authorization: Bearer {TOKEN}")])
            .args(["-H", "Content-Type: application/json"])
            .arg(format!("https://127.0.0.1:{}{path}", self.port));
        if let Some(body) = body {
            command.args(["-d", &body.to_string()]);
        }
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    }

    fn make(&self, path: &str, body: &Value) {
        let said = self.ask("POST", path, Some(body));
        let made: Value = serde_json::from_str(&said).unwrap_or_else(|_| said.into());
        assert_eq!(made["metadata"]["name"], body["metadata"]["name"], "{made}");
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        for child in self.running.iter_mut().rev() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Pods for Real {
    fn namespace(&self, name: &str) {
        let body = json!({"metadata": {"name": name}});
        self.make("/api/v1/namespaces", &body);
    }

    fn pod(&self, namespace: &str, name: &str) {
        self.make(
            &format!("/api/v1/namespaces/{namespace}/pods"),
            &pod(name, "demo"),
        );
    }
}

fn free() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_server_keeps_the_rules_too() {
    let Some(binary) = std::env::var_os("PGHERD_KUBE_APISERVER").map(PathBuf::from) else {
        println!(
            "skipped: PGHERD_KUBE_APISERVER names no server (scripts/kube-apiserver.sh builds one)"
        );
        return;
    };
    let real = Real::start(&binary).await;
    // It is slower than ours, and does all of it at once.
    for endpoints in [false, true] {
        keeps_every_rule(&real, &real.path("config"), &[endpoints], TTL * 2).await;
    }
}
