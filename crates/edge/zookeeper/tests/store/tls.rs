//! TLS with certificates on both sides, nodes that only the client's certificate may touch, and a digest login.

use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use pgherd_ports::{Acquisition, Condition, Dcs as _, DcsError, Key};
use pgherd_settings::{Secret, ZooKeeperAcl, ZooKeeperTls};
use tempfile::TempDir;

use crate::server::{Servers, at, is_there, port};
use crate::{member, options, ready, until};

/// An authority, a server and a client, made by the openssl program.
struct Certificates(TempDir);

impl Certificates {
    fn make() -> Self {
        let made = Self(TempDir::new().expect("a directory can be made"));
        made.authority("ca");
        made.signed("server");
        made.signed("client");
        made.authority("stranger");
        let both = ["server.key", "server.crt"].map(|name| made.read(name));
        fs_err::write(made.path("server.pem"), both.concat()).expect("the directory is ours");
        fs_err::write(made.path("ca.pem"), made.read("ca.crt")).expect("the directory is ours");
        made
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        let dir = Utf8Path::from_path(self.0.path()).expect("the path is UTF-8");
        dir.join(name)
    }

    fn read(&self, name: &str) -> String {
        fs_err::read_to_string(self.path(name)).expect("it was made")
    }

    fn authority(&self, name: &str) {
        let days = "-days 2 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1";
        let line = format!("req -x509 {days} -subj /CN={name} -keyout {name}.key -out {name}.crt");
        self.openssl(&line);
    }

    /// The name in a server's certificate is not compared, so this one is nobody's.
    fn signed(&self, name: &str) {
        let key = "-nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1";
        self.openssl(&format!(
            "req -new {key} -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
        // Version 3, which an extension makes: rustls takes no other.
        fs_err::write(self.path("names"), "subjectAltName=DNS:nobody").expect("it is ours");
        let authority = "-CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names";
        self.openssl(&format!(
            "x509 -req -in {name}.csr {authority} -out {name}.crt"
        ));
    }

    fn openssl(&self, line: &str) {
        let status = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("openssl is installed");
        assert!(status.success(), "openssl {line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_of_both_sides_and_a_digest_open_what_is_closed_to_others() {
    if !is_there() {
        return;
    }
    let made = Certificates::make();
    let secure = port();
    let servers = Servers::start_with(
        1,
        &format!(
            "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
             secureClientPort={secure}\nsecureClientPortAddress={}\n\
             ssl.keyStore.location={}\nssl.trustStore.location={}\nssl.clientAuth=need",
            at(secure).host,
            made.path("server.pem"),
            made.path("ca.pem")
        ),
    );
    ready(servers.hosts()).await;
    let with = |tls: ZooKeeperTls| {
        let mut options = options(vec![at(secure)], "tls");
        options.zookeeper.tls = Some(tls);
        options.zookeeper.acls = vec![ZooKeeperAcl {
            principal: "CN=client".into(),
            permissions: 31,
        }];
        options
    };
    let full = ZooKeeperTls {
        cacert: Some(made.path("ca.crt")),
        cert: Some(made.path("client.crt")),
        key: Some(made.path("client.key")),
        key_password: None,
        verify: true,
    };
    let a = member("a", with(full.clone()));
    until("TLS is served", async || {
        a.acquire_leader().await == Ok(Acquisition::Mine)
    })
    .await;
    a.put(&Key::Status, "{}", Condition::LEADING).await.unwrap();
    a.renew().await.unwrap();

    // Nobody else may even read.
    let b = member("b", options(servers.hosts(), "tls"));
    assert!(matches!(b.load().await, Err(DcsError::Denied(_))));

    for broken in [
        ZooKeeperTls {
            cacert: Some(made.path("stranger.crt")),
            ..full.clone()
        },
        ZooKeeperTls {
            cert: None,
            key: None,
            ..full.clone()
        },
    ] {
        assert!(member("c", with(broken)).load().await.is_err());
    }
    let unverified = ZooKeeperTls {
        cacert: None,
        verify: false,
        ..full
    };
    assert!(member("d", with(unverified)).load().await.is_ok());

    // Below a node of its own: that of the others is closed.
    let mut digest = options(servers.hosts(), "digest");
    digest.namespace = "/open/".into();
    digest.zookeeper.auth = vec![("digest".into(), Secret::new("user:password"))];
    let e = member("e", digest);
    e.put(&Key::Config, "{}", Condition::ABSENT).await.unwrap();
}
