//! A folder with servers of one cluster; whatever runs in it ends with it.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use pgherd_domain::{
    MemberName, Moment, PgRole, PostgresSeen, SlotName, StartAs, StopMode, Upstream, Work,
    WorkError,
};
use pgherd_ports::{Clock as _, LocalPostgres as _, Progress, SystemClock, Wake};
use pgherd_postgres::LocalServer;
use pgherd_settings::{
    Bootstrap, BootstrapUser, ChangingSettings, Etcd, FixedSettings, HostPort, ListenHosts, Login,
    PostgresPlace, ProgramNames, ProgramOption, Secret, Settings, Store,
};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Where servers live.
pub struct Bed {
    folder: tempfile::TempDir,
}

impl Bed {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        open_to_all(folder.path());
        Self { folder }
    }

    pub fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).unwrap()
    }

    /// A member that has no data yet.
    pub fn member(&self, name: &str) -> Member {
        self.member_with(name, |_| ())
    }

    /// The same, with other settings.
    pub fn member_with(&self, name: &str, change: impl FnOnce(&mut Settings)) -> Member {
        let mut settings = settings(name, &self.path().join(name));
        change(&mut settings);
        Member::new(settings)
    }

    /// A member that runs as a primary.
    pub async fn primary(&self, name: &str) -> Member {
        let member = self.member(name);
        member.carry_out(Work::Bootstrap).await.unwrap();
        member
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let folder = self.folder.path().to_owned();
        let inside = |pid: &str| {
            std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&folder))
        };
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let name = entry.file_name();
            let pid = name.to_str().unwrap_or("");
            if let Ok(number) = pid.parse()
                && inside(pid)
            {
                let number = rustix::process::Pid::from_raw(number).unwrap();
                let killed = rustix::process::kill_process(number, rustix::process::Signal::KILL);
                // It may have ended meanwhile.
                assert!(matches!(killed, Ok(()) | Err(rustix::io::Errno::SRCH)));
            }
        }
    }
}

/// One server.
pub struct Member {
    pub server: Arc<LocalServer>,
    pub settings: Arc<Settings>,
}

impl Member {
    fn new(settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let clock = Arc::new(SystemClock);
        let server = LocalServer::new(Arc::clone(&settings), clock, Wake::new()).unwrap();
        Self {
            server: Arc::new(server),
            settings,
        }
    }

    /// The same member with an agent that has just started.
    pub fn with_new_agent(&self) -> Self {
        Self::new(Settings::clone(&self.settings))
    }

    pub fn name(&self) -> MemberName {
        self.settings.fixed.name.clone()
    }

    pub fn data_dir(&self) -> &Utf8Path {
        &self.settings.fixed.place.data_dir
    }

    pub fn port(&self) -> u16 {
        self.settings.changing.postgresql.listen.port
    }

    /// This server as the one that `of` streams from.
    pub fn upstream_of(&self, of: &Self) -> Upstream {
        Upstream {
            name: Some(self.name()),
            host: "127.0.0.1".into(),
            port: self.port(),
            more_ports: Vec::new(),
            slot: Some(SlotName::of_member(&of.name())),
        }
    }

    pub async fn carry_out(&self, work: Work) -> Result<(), WorkError> {
        self.server.carry_out(&work, &Progress::default()).await
    }

    pub async fn start(&self, start_as: StartAs) -> Result<(), WorkError> {
        let timeout = PATIENCE;
        self.carry_out(Work::Start { start_as, timeout }).await
    }

    /// Starts as a replica of `primary`, which has made a slot for it.
    pub async fn stream_from(&self, primary: &Self) {
        let upstream = primary.upstream_of(self);
        let slot = upstream.slot.clone().unwrap();
        primary
            .adjust(pgherd_domain::Adjustment::CreateSlot(slot))
            .await;
        let upstream = Some(upstream);
        self.start(StartAs::Replica { upstream }).await.unwrap();
        self.streams().await;
    }

    /// Copies `primary` and streams from it.
    pub async fn join(&self, primary: &Self) {
        let source = primary.upstream_of(self);
        self.carry_out(Work::Clone {
            source,
            basebackup_only: false,
        })
        .await
        .unwrap();
        self.stream_from(primary).await;
    }

    pub async fn adjust(&self, change: pgherd_domain::Adjustment) {
        self.server.adjust(&change).await.unwrap();
    }

    pub async fn stop_fast(&self) {
        let stop = Work::Stop {
            mode: StopMode::Fast,
            escalate_at: None,
        };
        self.carry_out(stop).await.unwrap();
    }

    pub async fn promote(&self) {
        let valid_until = in_an_hour();
        self.carry_out(Work::promote(valid_until)).await.unwrap();
    }

    pub async fn configure(&self, role: PgRole) {
        let settings = Arc::clone(&self.settings);
        self.server.configure(settings, role, None).await;
    }

    /// Looks until `wanted` holds.
    pub async fn until(&self, what: &str, wanted: impl Fn(&PostgresSeen) -> bool) -> PostgresSeen {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let seen = self.server.observe().await;
            if wanted(&seen) {
                return seen;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{}: not in time: {what}; seen {seen:#?}",
                self.name()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn streams(&self) -> PostgresSeen {
        self.until("it streams", |seen| {
            let live = seen.live.known();
            live.and_then(|live| live.receiver.as_ref())
                .is_some_and(|receiver| receiver.streaming)
        })
        .await
    }

    /// A session as the superuser.
    pub async fn session(&self) -> tokio_postgres::Client {
        let login = &self.settings.changing.postgresql.authentication.superuser;
        self.session_as(login).await.unwrap()
    }

    pub async fn session_as(
        &self,
        login: &Login,
    ) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::Config::new()
            .host("127.0.0.1")
            .port(self.port())
            .dbname("postgres")
            .user(login.username.as_deref().unwrap_or(""))
            .password(login.password.as_ref().map_or("", |it| it.reveal()))
            .connect(tokio_postgres::NoTls)
            .await?;
        tokio::spawn(connection);
        Ok(client)
    }

    pub async fn run(&self, statement: &str) {
        self.session().await.batch_execute(statement).await.unwrap();
    }

    /// The first value as text.
    pub async fn value(&self, statement: &str) -> String {
        let messages = self.session().await.simple_query(statement).await.unwrap();
        messages
            .into_iter()
            .find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
            .unwrap_or_default()
    }

    /// Waits until this replica has what `statement` counts.
    pub async fn has(&self, statement: &str, wanted: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.value(statement).await != wanted {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{}: `{statement}` never gives {wanted}",
                self.name()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.data_dir().join(file)).unwrap()
    }

    /// The process of this server whose title has this word.
    pub fn process(&self, word: &str) -> rustix::process::Pid {
        let mut all = std::fs::read_dir("/proc").unwrap().flatten();
        let found = all.find_map(|entry| {
            let path = entry.path();
            let cwd = std::fs::read_link(path.join("cwd")).ok()?;
            let title = std::fs::read(path.join("cmdline")).ok()?;
            let title = String::from_utf8_lossy(&title).into_owned();
            let pid = entry.file_name().to_str()?.parse().ok()?;
            (cwd == *self.data_dir() && title.contains(word)).then_some(pid)
        });
        rustix::process::Pid::from_raw(found.unwrap()).unwrap()
    }

    pub fn kill_postmaster(&self) {
        let pid = self.read("postmaster.pid");
        let pid = pid.lines().next().unwrap().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    /// Processes whose working directory is the data directory.
    pub fn processes(&self) -> usize {
        let folder = self.data_dir().as_std_path();
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        entries
            .filter(|entry| {
                std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == folder)
            })
            .count()
    }
}

pub fn in_an_hour() -> Moment {
    SystemClock.now().plus(Duration::from_secs(3600))
}

pub fn option(name: &str, value: Option<&str>) -> ProgramOption {
    ProgramOption {
        name: name.into(),
        value: value.map(Into::into),
    }
}

pub fn login(user: &str) -> Login {
    Login {
        username: Some(user.into()),
        password: Some(Secret::new(format!("{user}'s pass:word\\"))),
        ..Login::default()
    }
}

fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

pub fn bin_dir() -> Utf8PathBuf {
    let named = std::env::var("PGHERD_PG_BIN").ok();
    named
        .unwrap_or_else(|| "/usr/lib/postgresql/15/bin".into())
        .into()
}

fn bootstrap() -> Bootstrap {
    let user = BootstrapUser {
        password: Some(Secret::new("app")),
        options: vec!["createdb".into()],
    };
    Bootstrap {
        configured: true,
        initdb: vec![
            option("encoding", Some("UTF8")),
            option("data-checksums", None),
            option("auth-host", Some("scram-sha-256")),
            option("auth-local", Some("trust")),
        ],
        pg_hba: vec![
            "host replication replicator 127.0.0.1/32 scram-sha-256".into(),
            "host all all 127.0.0.1/32 scram-sha-256".into(),
        ],
        users: [("app".to_owned(), user)].into(),
        ..Bootstrap::default()
    }
}

fn settings(name: &str, folder: &Utf8Path) -> Settings {
    let data_dir = folder.join("data");
    let port = free_port();
    let mut changing = ChangingSettings::default();
    let pg = &mut changing.postgresql;
    pg.listen = ListenHosts {
        hosts: vec!["127.0.0.1".into()],
        port,
    };
    pg.connect_address = HostPort {
        host: "127.0.0.1".into(),
        port,
    };
    pg.authentication.superuser = login("postgres");
    pg.authentication.replication = login("replicator");
    pg.authentication.rewind = Some(login("rewinder"));
    pg.use_pg_rewind = true;
    let run = folder.join("run");
    let mut set = |name: &str, value: &str| {
        pg.parameters.insert(name.to_owned(), value.to_owned());
    };
    set("unix_socket_directories", run.as_str());
    set("shared_buffers", "16MB");
    set("fsync", "off");
    Settings {
        fixed: FixedSettings {
            name: MemberName::new(name).unwrap(),
            scope: "herd".into(),
            namespace: "/service/".into(),
            store: Store::Etcd(Etcd::default()),
            bootstrap: bootstrap(),
            place: PostgresPlace {
                config_dir: data_dir.clone(),
                data_dir,
                config_base_name: "postgresql".into(),
                bin_dir: Some(bin_dir()),
                bin_name: ProgramNames::default(),
                pgpass: Some(folder.join("secret/pgpass")),
                database: "postgres".into(),
                krbsrvname: None,
            },
            citus: None,
        },
        changing,
    }
}
