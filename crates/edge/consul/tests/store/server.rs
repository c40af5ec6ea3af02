//! Consul agents that end with the test.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Ports below those that the kernel hands out by itself.
static NEXT_PORT: AtomicU16 = AtomicU16::new(12_000);

/// One agent: a server, or a client of one.
#[derive(Debug)]
pub(crate) struct Agent {
    http_port: u16,
    serf_port: u16,
    server_port: u16,
    scheme: &'static str,
    dir: TempDir,
    running: Option<Child>,
}

/// An address of this process's own: no other test can take its ports.
pub(crate) fn address() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 + high % 64, middle, low)
}

/// A port of that address.
pub(crate) fn port() -> u16 {
    NEXT_PORT.fetch_add(1, Ordering::SeqCst)
}

impl Agent {
    /// Starts a server; `None`, and a line that says so, where Consul is not installed.
    pub(crate) fn server() -> Option<Self> {
        Self::server_with("http", &json!({}))
    }

    /// The same with more settings.
    pub(crate) fn server_with(scheme: &'static str, extra: &Value) -> Option<Self> {
        let server_port = port();
        let settings = json!({"server": true, "bootstrap_expect": 1, "session_ttl_min": "500ms"});
        Self::start(scheme, server_port, &[&settings, extra])
    }

    /// Starts an agent that is no server, as it stands beside each member.
    pub(crate) fn beside(server: &Self) -> Option<Self> {
        let join = format!("{}:{}", address(), server.serf_port);
        // It goes on answering for a while after it has left, so that a busy machine does not miss it.
        let performance = json!({"raft_multiplier": 1, "leave_drain_time": "20s"});
        let settings = json!({
            "retry_join": [join],
            "retry_interval": "200ms",
            "performance": performance,
        });
        Self::start("http", server.server_port, &[&settings])
    }

    fn start(scheme: &'static str, server_port: u16, settings: &[&Value]) -> Option<Self> {
        pgherd_testbed::consul()?;
        // In memory where possible: what a slow disk does is not what these tests are about.
        let dir = tempfile::Builder::new()
            .prefix("pgherd-consul-")
            .tempdir_in("/dev/shm")
            .or_else(|_| TempDir::new())
            .expect("a directory can be made");
        let mut agent = Self {
            http_port: port(),
            serf_port: port(),
            server_port,
            scheme,
            dir,
            running: None,
        };
        let mut all = agent.settings();
        for one in settings.iter().filter_map(|one| one.as_object()) {
            let all = all.as_object_mut().expect("it is a mapping");
            all.extend(one.clone());
        }
        fs_err::write(agent.file(), all.to_string()).expect("the directory is ours");
        agent.start_again();
        Some(agent)
    }

    /// Starts it if it does not run.
    pub(crate) fn start_again(&mut self) {
        let program = pgherd_testbed::consul().expect("it was there before");
        let log = fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join("log"))
            .expect("the log can be opened");
        let child = Command::new(program)
            .arg("agent")
            .arg(format!("-config-file={}", self.file().display()))
            .stdin(Stdio::null())
            .stdout(log.into_file())
            .stderr(Stdio::null())
            .spawn();
        self.running = Some(child.expect("Consul is installed"));
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().expect("it is our child");
            child.wait().expect("it is our child");
        }
    }

    /// SIGTERM: an agent that is no server leaves the cluster.
    pub(crate) fn terminate(&self) {
        let child = self.running.as_ref().expect("it runs");
        let pid = i32::try_from(child.id()).expect("a pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}:{}", self.scheme, address(), self.http_port)
    }

    /// The port of its API.
    pub(crate) const fn port(&self) -> u16 {
        self.http_port
    }

    /// Asks it past the store.
    pub(crate) async fn ask(&self, method: &str, path: &str) -> Value {
        let at = (address(), self.http_port).into();
        let path = format!("/v1/{path}");
        let reply = pgherd_testbed::request(method, at, &path, None, crate::PATIENCE).await;
        let reply = reply.expect("the agent answers");
        serde_json::from_str(&reply.body).unwrap_or(Value::Null)
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join("consul.json")
    }

    fn settings(&self) -> Value {
        let (secure, plain) = match self.scheme {
            "https" => (i32::from(self.http_port), -1),
            _ => (-1, i32::from(self.http_port)),
        };
        json!({
            "node_name": format!("node{}", self.http_port),
            "data_dir": self.dir.path().join("data"),
            "bind_addr": address(),
            "client_addr": address(),
            "disable_update_check": true,
            "log_level": "warn",
            "performance": {"raft_multiplier": 1},
            "ports": {
                "http": plain,
                "https": secure,
                "server": self.server_port,
                "serf_lan": self.serf_port,
                "serf_wan": -1,
                "dns": -1,
                "grpc": -1,
            },
        })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            // Nothing can be done about a failure here, and the test has its result.
            drop(child.kill());
            drop(child.wait());
        }
    }
}
