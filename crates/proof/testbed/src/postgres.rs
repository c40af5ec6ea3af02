//! The installed PostgreSQL, and bare servers of it without any agent.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Signal, geteuid};

use crate::command::{attempt, run};
use crate::host::{Host, Port};
use crate::oracle::connect;
use crate::processes::Process;
use crate::wait::wait_for;

/// initdb or a base backup plus start, on a busy machine.
const READY: Duration = Duration::from_secs(30);

/// How clients of the testbed log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Role name.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Database to connect to.
    pub database: String,
}

impl Login {
    /// The superuser of every server on the testbed.
    #[must_use]
    pub fn superuser() -> Self {
        let [user, password, database] =
            ["postgres", "superuser-pw", "postgres"].map(str::to_owned);
        Self {
            user,
            password,
            database,
        }
    }
}

/// Where `scripts/setup.sh test` puts a PostgreSQL that is newer than Debian's.
const NEWER: &str = "/var/tmp/pgherd-postgresql-18.6.0";

/// Where PostgreSQL's programs are, and who runs them.
#[derive(Debug, Clone)]
pub struct PostgresTools {
    /// Directory of `postgres`, `initdb` and the rest.
    pub bin_dir: PathBuf,
    /// The account the server runs as: it refuses root.
    pub user: Option<String>,
}

impl PostgresTools {
    /// Finds them: `PGHERD_PG_BIN`, PostgreSQL 15 of Debian, any version of Debian's, then `pg_config`.
    ///
    /// # Errors
    /// When no server is installed.
    pub fn find() -> Result<Self> {
        let mut places: Vec<PathBuf> = std::env::var_os("PGHERD_PG_BIN")
            .map(PathBuf::from)
            .into_iter()
            .collect();
        places.push(PathBuf::from("/usr/lib/postgresql/15/bin"));
        let debian = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten();
        let mut all: Vec<PathBuf> = debian.map(|entry| entry.path().join("bin")).collect();
        all.sort();
        places.extend(all.into_iter().rev());
        places.extend(
            run(&["pg_config", "--bindir"])
                .ok()
                .map(|dir| PathBuf::from(dir.trim())),
        );
        let bin_dir = places
            .into_iter()
            .find(|dir| dir.join("postgres").exists() && dir.join("initdb").exists())
            .context("no PostgreSQL server found; `make setup` installs postgresql-15")?;
        Ok(Self::in_folder(bin_dir))
    }

    /// The newer PostgreSQL that `scripts/setup.sh test` puts beside Debian's; `None` where it could not get it.
    #[must_use]
    pub fn newer() -> Option<Self> {
        let folder = Path::new(NEWER);
        let complete = folder.join("complete").exists();
        complete.then(|| Self::in_folder(folder.join("bin")))
    }

    fn in_folder(bin_dir: PathBuf) -> Self {
        let user = geteuid().is_root().then(|| "postgres".to_owned());
        Self { bin_dir, user }
    }

    /// Full path of one program.
    #[must_use]
    pub fn program(&self, name: &str) -> String {
        self.bin_dir.join(name).to_string_lossy().into_owned()
    }

    /// Makes a directory that only the server's account may enter.
    ///
    /// # Errors
    /// When it cannot be made or given away.
    pub fn private_dir(&self, path: &Path) -> Result<()> {
        fs_err::create_dir_all(path)?;
        run(&["chmod", "700", &path.to_string_lossy()])?;
        self.give(path)
    }

    /// Gives a file or directory to the server's account.
    ///
    /// # Errors
    /// When `chown` refuses.
    pub fn give(&self, path: &Path) -> Result<()> {
        match &self.user {
            Some(user) => {
                run(&["chown", &format!("{user}:{user}"), &path.to_string_lossy()]).map(drop)
            }
            None => Ok(()),
        }
    }
}

/// A server without an agent, for proving the testbed itself.
#[derive(Debug)]
pub struct BarePostgres {
    host: Host,
    tools: PostgresTools,
    process: Option<Process>,
}

impl BarePostgres {
    /// Makes a new primary on `host` and starts it.
    ///
    /// # Errors
    /// When initdb or the start fails.
    pub async fn primary(host: &Host) -> Result<Self> {
        let server = Self::prepare(host)?;
        let login = Login::superuser();
        let password = host.dir().join("password");
        fs_err::write(&password, &login.password)?;
        server.tools.give(&password)?;
        let pwfile = format!("--pwfile={}", password.display());
        let data = server.data();
        let user = server.tools.user.as_deref();
        let program = server.tools.program("initdb");
        let options = [
            "--auth=scram-sha-256",
            &pwfile,
            "--no-sync",
            "-U",
            &login.user,
            "-D",
            &data,
        ];
        host.run(user, &[&[program.as_str()][..], &options[..]].concat())
            .await?;
        let hba =
            "host all all 0.0.0.0/0 scram-sha-256\nhost replication all 0.0.0.0/0 scram-sha-256\n";
        let path = PathBuf::from(&data).join("pg_hba.conf");
        fs_err::write(&path, hba)?;
        server.started().await
    }

    /// Copies `primary` to `host` and starts it as a streaming standby.
    ///
    /// # Errors
    /// When the base backup or the start fails.
    pub async fn standby(host: &Host, primary: &Self) -> Result<Self> {
        let server = Self::prepare(host)?;
        let login = Login::superuser();
        let from = primary.address();
        let source = format!(
            "host={} port={} user={} password={} application_name={}",
            from.ip(),
            from.port(),
            login.user,
            login.password,
            host.name()
        );
        let data = server.data();
        let program = server.tools.program("pg_basebackup");
        let options = [
            "-R",
            "-X",
            "stream",
            "--checkpoint=fast",
            "-d",
            &source,
            "-D",
            &data,
        ];
        let argv = [&[program.as_str()][..], &options[..]].concat();
        host.run(server.tools.user.as_deref(), &argv).await?;
        server.started().await
    }

    fn prepare(host: &Host) -> Result<Self> {
        let tools = PostgresTools::find()?;
        let server = Self {
            host: host.clone(),
            tools,
            process: None,
        };
        server.tools.private_dir(Path::new(&server.data()))?;
        server.tools.private_dir(&host.dir().join("socket"))?;
        Ok(server)
    }

    async fn started(mut self) -> Result<Self> {
        self.start().await?;
        Ok(self)
    }

    /// Starts the server and waits until it answers queries.
    ///
    /// # Errors
    /// When it does not within 30 s.
    pub async fn start(&mut self) -> Result<()> {
        let address = self.address();
        let settings = [
            format!("listen_addresses={}", address.ip()),
            format!("port={}", address.port()),
            format!(
                "unix_socket_directories={}",
                self.host.dir().join("socket").display()
            ),
            "dynamic_shared_memory_type=mmap".to_owned(),
            "shared_buffers=16MB".to_owned(),
        ];
        let mut argv = vec![self.tools.program("postgres"), "-D".to_owned(), self.data()];
        argv.extend(
            settings
                .into_iter()
                .flat_map(|setting| ["-c".to_owned(), setting]),
        );
        self.process = Some(
            self.host
                .start("postgres", self.tools.user.as_deref(), &argv)?,
        );
        wait_for(
            &format!("PostgreSQL on {}", self.host.name()),
            READY,
            async || {
                let client = connect(address, &Login::superuser()).await?;
                client.simple_query("SELECT 1").await?;
                Ok(())
            },
        )
        .await
    }

    /// Stops it fast and waits for the end.
    ///
    /// # Errors
    /// When it does not run or does not stop within 30 s.
    pub async fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("this server does not run")?;
        process.signal(Signal::INT)?;
        let code = process.wait(READY).await?;
        ensure!(code == 0, "postgres ended with {code}");
        Ok(())
    }

    /// Makes a standby the primary.
    ///
    /// # Errors
    /// When it is none, or the promotion takes longer than a minute.
    pub async fn promote(&self) -> Result<()> {
        let client = connect(self.address(), &Login::superuser()).await?;
        let row = client.query_one("SELECT pg_promote()", &[]).await?;
        ensure!(row.get::<_, bool>(0), "pg_promote() gave up waiting");
        Ok(())
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.host.at(Port::Postgres)
    }

    fn data(&self) -> String {
        self.host.dir().join("data").to_string_lossy().into_owned()
    }
}

/// Removes the System V segments of servers that were killed below `dir`: the kernel keeps them for ever.
///
/// Line 7 of `postmaster.pid` holds the segment's key and id (PostgreSQL manual, "Database File Layout").
pub(crate) fn forget_shared_memory(dir: &Path) {
    for host in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let lock = host.path().join("data/postmaster.pid");
        let text = std::fs::read_to_string(lock).unwrap_or_default();
        if let Some(id) = text
            .lines()
            .nth(6)
            .and_then(|line| line.split_whitespace().nth(1))
        {
            attempt(&["ipcrm", "-m", id]);
        }
    }
}
