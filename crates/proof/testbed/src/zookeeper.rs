//! A real ZooKeeper ensemble, one server per host.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::bed::Testbed;
use crate::host::{Host, Port};
use crate::processes::Process;
use crate::wait::wait_for;

/// Where Debian puts ZooKeeper's program.
const JAR: &str = "/usr/share/java/zookeeper.jar";
/// Each server is a Java machine that takes seconds to start, on two cores that all share.
const READY: Duration = Duration::from_secs(60);
const ASK: Duration = Duration::from_secs(1);

/// An ensemble.
#[derive(Debug)]
pub struct ZooKeeper {
    hosts: Vec<Host>,
    _running: Vec<Process>,
}

impl ZooKeeper {
    /// Whether it can be run here.
    #[must_use]
    pub fn is_installed() -> bool {
        let java = std::env::var_os("PATH").is_some_and(|path| {
            std::env::split_paths(&path).any(|folder| folder.join("java").exists())
        });
        java && Path::new(JAR).exists()
    }

    /// Starts `size` servers on hosts `zookeeper1`, `zookeeper2` and so on, and waits until they answer.
    ///
    /// # Errors
    /// When ZooKeeper is not installed or finds no quorum.
    pub async fn start(bed: &Testbed, prefix: &str, size: usize) -> Result<Self> {
        let hosts = bed.hosts(&format!("{prefix}zk"), size)?;
        let mut running = Vec::new();
        for (index, host) in hosts.iter().enumerate() {
            let config = configuration(&hosts, index)?;
            let argv = [
                "java",
                "-Xmx64m",
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
            ];
            let program = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
            let mut argv = argv.map(str::to_owned).to_vec();
            argv.extend(["-cp", JAR, program, &config].map(str::to_owned));
            running.push(host.start("zookeeper", None, &argv)?);
        }
        let ensemble = Self {
            hosts,
            _running: running,
        };
        for host in &ensemble.hosts {
            let what = format!("{} to serve", host.name());
            wait_for(&what, READY, async || serves(host).await).await?;
        }
        Ok(ensemble)
    }

    /// Client addresses, `ADDRESS:PORT`.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        let hosts = self.hosts.iter();
        hosts
            .map(|host| host.at(Port::ZooKeeperClient).to_string())
            .collect()
    }

    /// The hosts, to cut or freeze them.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }
}

/// Short ticks, so that short sessions are possible.
fn configuration(hosts: &[Host], index: usize) -> Result<String> {
    let host = hosts.get(index).context("no such server")?;
    let data = host.dir().join("data");
    fs_err::create_dir_all(&data)?;
    fs_err::write(data.join("myid"), (index + 1).to_string())?;
    let client = host.at(Port::ZooKeeperClient);
    let mut lines = format!(
        "tickTime=500\ninitLimit=60\nsyncLimit=8\ndataDir={}\nclientPort={}\nclientPortAddress={}\n\
         admin.enableServer=false\nmaxSessionTimeout=120000\n",
        data.display(),
        client.port(),
        client.ip()
    );
    if hosts.len() > 1 {
        for (index, host) in hosts.iter().enumerate() {
            let (peer, election) = (
                host.at(Port::ZooKeeperPeer),
                host.at(Port::ZooKeeperElection).port(),
            );
            lines += &format!("server.{}={peer}:{election}\n", index + 1);
        }
    }
    let config = host.dir().join("zoo.cfg");
    fs_err::write(&config, lines)?;
    Ok(config.to_string_lossy().into_owned())
}

async fn serves(host: &Host) -> Result<()> {
    let asking = async {
        let mut stream = TcpStream::connect(host.at(Port::ZooKeeperClient)).await?;
        stream.write_all(b"srvr").await?;
        let mut said = String::new();
        stream.read_to_string(&mut said).await?;
        Ok::<_, std::io::Error>(said)
    };
    let said = timeout(ASK, asking).await.context("no answer")??;
    ensure!(said.contains("Mode: "), said);
    Ok(())
}
