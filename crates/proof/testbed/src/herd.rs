//! A whole cluster: etcd, members with agents, and the questions tests ask about it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::bed::Testbed;
use crate::consul::Consul;
use crate::etcd::Etcd;
use crate::host::Host;
use crate::http;
use crate::kube_api::KubeApi;
use crate::member::Member;
use crate::oracle::Endpoint;
use crate::postgres::PostgresTools;
use crate::program::AgentProgram;
use crate::wait::wait_for;
use crate::yaml;
use crate::zookeeper::ZooKeeper;

/// initdb on the first and a base backup on each other member, two cores shared by all.
const FORMED: Duration = Duration::from_secs(60);

/// What kind of cluster to make.
#[derive(Debug, Clone)]
pub struct HerdOptions {
    /// Members, each on its own host.
    pub members: usize,
    /// etcd members, each on its own host.
    pub stores: usize,
    /// etcd has its API v2, and the members use it: their section is `etcd`, as with Patroni.
    pub old_api: bool,
    /// ZooKeeper servers, each on its own host; more than none: the members use them and not etcd.
    pub zookeepers: usize,
    /// Consul servers, each on its own host, in the place of etcd; 0: etcd it is.
    pub consuls: usize,
    /// Objects of Kubernetes are the store; the members have Endpoints.
    pub kubernetes: bool,
    /// Seconds a lease lives.
    pub ttl: u32,
    /// Longest sleep between turns, seconds.
    pub loop_wait: u32,
    /// Seconds an operation on the store may take.
    pub retry_timeout: u32,
    /// `off`, `on` or `quorum`.
    pub synchronous: String,
    /// `replica` or `logical`.
    pub wal_level: String,
    /// Further lines for `bootstrap.dcs`.
    pub dcs_lines: Vec<String>,
    /// Further lines for `bootstrap.dcs.postgresql.parameters`.
    pub parameters: Vec<String>,
    /// WAL is archived to [`Herd::archive`], and fetched from there.
    pub archive: bool,
    /// Every member needs a watchdog; a file stands in for each device.
    pub watchdog: bool,
    /// The agent; `None` finds the `pgherd` that was built.
    pub agent: Option<AgentProgram>,
    /// The group of each member in a Citus cluster; the rest are in none.
    pub citus: Vec<u32>,
    /// The PostgreSQL of the members; `None` is [`PostgresTools::find`].
    pub tools: Option<PostgresTools>,
}

impl Default for HerdOptions {
    /// Three members, three stores and the shortest lease: tests wait for it to run out.
    fn default() -> Self {
        Self {
            members: 3,
            stores: 3,
            old_api: false,
            zookeepers: 0,
            consuls: 0,
            kubernetes: false,
            ttl: 5,
            loop_wait: 1,
            retry_timeout: 2,
            synchronous: "off".to_owned(),
            wal_level: "replica".to_owned(),
            dcs_lines: Vec::new(),
            parameters: Vec::new(),
            archive: false,
            watchdog: false,
            agent: None,
            citus: Vec::new(),
            tools: None,
        }
    }
}

/// A cluster on a bed of its own.
#[derive(Debug)]
pub struct Herd {
    bed: Testbed,
    /// The store.
    pub etcd: Etcd,
    /// The other store, see [`HerdOptions::zookeepers`].
    pub zookeeper: Option<ZooKeeper>,
    /// The store, where [`HerdOptions::consuls`] says so.
    pub consul: Option<Consul>,
    /// The store, where [`HerdOptions::kubernetes`] says so.
    pub kubernetes: Option<KubeApi>,
    /// The members, in the order of their names.
    pub members: Vec<Member>,
    scope: String,
    program: AgentProgram,
}

impl Herd {
    /// Makes the bed, starts etcd and writes the members' configurations; no agent runs yet.
    ///
    /// # Errors
    /// When something needed is not installed or does not start.
    pub async fn prepare(story: &str, options: &HerdOptions) -> Result<Self> {
        Self::prepare_on(Testbed::new(story)?, story, "", options).await
    }

    /// The same beside another cluster: members are called `PREFIXpg1` and so on, with a store of their own.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub async fn prepare_on(
        bed: Testbed,
        story: &str,
        prefix: &str,
        options: &HerdOptions,
    ) -> Result<Self> {
        let program = match &options.agent {
            Some(program) => program.clone(),
            None => AgentProgram::pgherd()?,
        };
        let stores = match (options.consuls, options.kubernetes) {
            (0, false) => options.stores,
            _ => 0,
        };
        let etcd = Etcd::start_with(&bed, &format!("{prefix}etcd"), stores, options.old_api)
            .await
            .with_context(|| bed.report())?;
        let consul = match options.consuls {
            0 => None,
            size => {
                let started = Consul::start(&bed, size).await;
                Some(started.with_context(|| bed.report())?)
            }
        };
        let zookeeper = match options.zookeepers {
            0 => None,
            size => {
                let started = ZooKeeper::start(&bed, prefix, size).await;
                Some(started.with_context(|| bed.report())?)
            }
        };
        let kubernetes = KubeApi::wanted(&bed, options).await?;
        let store = |at: usize| match (&consul, &zookeeper) {
            (Some(consul), _) => yaml::consul(&consul.endpoints(), at),
            (None, Some(zookeeper)) => yaml::hosts("zookeeper", &zookeeper.endpoints()),
            (None, None) if options.old_api => yaml::hosts("etcd", &etcd.endpoints()),
            (None, None) => yaml::hosts("etcd3", &etcd.endpoints()),
        };
        if options.archive {
            make_archive_on(&bed)?;
        }
        let hosts = bed.hosts(&format!("{prefix}pg"), options.members)?;
        if let Some(kubernetes) = &kubernetes {
            for host in &hosts {
                kubernetes
                    .admit(host, story, &PostgresTools::find()?)
                    .await?;
            }
        }
        let members = hosts
            .into_iter()
            .enumerate()
            .map(|(at, host)| {
                let section = match options.kubernetes {
                    true => yaml::kubernetes(&host),
                    false => store(at),
                };
                let group = options.citus.get(at);
                let citus = group.map_or(String::new(), |group| yaml::citus(*group));
                let sections = format!("{section}{citus}");
                Member::new(host, story, &sections, program.clone(), options)
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            bed,
            etcd,
            zookeeper,
            consul,
            kubernetes,
            members,
            scope: story.to_owned(),
            program,
        })
    }

    /// Makes a cluster and waits until the first member leads and all others stream.
    ///
    /// # Errors
    /// When it does not form within a minute; the error carries the logs.
    pub async fn start(story: &str, options: &HerdOptions) -> Result<Self> {
        Self::start_on(Testbed::new(story)?, story, "", options).await
    }

    /// The same beside another cluster, see [`Self::prepare_on`].
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_on(
        bed: Testbed,
        story: &str,
        prefix: &str,
        options: &HerdOptions,
    ) -> Result<Self> {
        let mut herd = Self::prepare_on(bed, story, prefix, options).await?;
        herd.form().await.with_context(|| herd.bed.report())?;
        Ok(herd)
    }

    async fn form(&mut self) -> Result<()> {
        let first = self.members.first_mut().context("a herd needs a member")?;
        first.start()?;
        self.wait_leader(FORMED).await?;
        for member in self.members.iter_mut().skip(1) {
            member.start()?;
        }
        self.wait_formed(FORMED).await?;
        Ok(())
    }

    /// The bed below.
    #[must_use]
    pub const fn bed(&self) -> &Testbed {
        &self.bed
    }

    /// The folder for WAL that every host of the bed sees, as a store of backups would be seen.
    #[must_use]
    pub fn archive(&self) -> PathBuf {
        archive_on(&self.bed)
    }

    /// The cluster's name.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// The hosts of all members but `at`.
    #[must_use]
    pub fn hosts_but(&self, at: usize) -> Vec<Host> {
        let members = self.members.iter().enumerate();
        let others = members.filter(|(index, _)| *index != at);
        others.map(|(_, member)| member.host().clone()).collect()
    }

    /// Index of the member whose `/primary` says 200.
    ///
    /// # Errors
    /// When none or more than one does.
    pub async fn leader_index(&self) -> Result<usize> {
        let answers = self.members.iter().map(|member| member.health("/primary"));
        let answers = futures_util::future::join_all(answers).await;
        let mut leaders = answers
            .iter()
            .enumerate()
            .filter(|(_, code)| **code == Some(200))
            .map(|(at, _)| at);
        let leader = leaders.next().with_context(|| {
            let seen: Vec<_> = self
                .members
                .iter()
                .map(Member::name)
                .zip(&answers)
                .collect();
            format!("no member is the primary: {seen:?}")
        })?;
        ensure!(
            leaders.next().is_none(),
            "two members say that they are the primary"
        );
        Ok(leader)
    }

    /// The member whose `/primary` says 200.
    ///
    /// # Errors
    /// As [`Self::leader_index`].
    pub async fn leader(&self) -> Result<&Member> {
        self.leader_index().await.map(|at| &self.members[at])
    }

    /// Waits for a leader that takes writes; returns its index.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn wait_leader(&self, deadline: Duration) -> Result<usize> {
        wait_for("a primary", deadline, async || {
            let at = self.leader_index().await?;
            let recovering = self.members[at].query("SELECT pg_is_in_recovery()").await?;
            ensure!(
                recovering == "f",
                "{} leads but is in recovery",
                self.members[at].name()
            );
            Ok(at)
        })
        .await
    }

    /// Waits for a leader other than `old`; returns its index.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn wait_other_leader(&self, old: usize, deadline: Duration) -> Result<usize> {
        let what = format!("a primary other than {}", self.members[old].name());
        wait_for(&what, deadline, async || {
            for (at, member) in self.members.iter().enumerate().filter(|(at, _)| *at != old) {
                if member.health("/primary").await == Some(200)
                    && member.query("SELECT pg_is_in_recovery()").await? == "f"
                {
                    return Ok(at);
                }
            }
            bail!("none of them is")
        })
        .await
    }

    /// Waits until one member leads and every other streams from the same timeline.
    ///
    /// # Errors
    /// When that does not come in time.
    pub async fn wait_formed(&self, deadline: Duration) -> Result<usize> {
        wait_for(
            "every replica to stream from the leader",
            deadline,
            async || {
                let leader = self.leader_index().await?;
                self.streams_to_all(leader).await?;
                let members = self.cluster().await?;
                let members = members["members"]
                    .as_array()
                    .context("/cluster without members")?;
                ensure!(
                    members.len() == self.members.len(),
                    "/cluster shows {members:?}"
                );
                let timeline = members
                    .iter()
                    .find(|member| member["role"] == "leader")
                    .and_then(|member| member["timeline"].as_u64())
                    .with_context(|| format!("/cluster shows no running leader: {members:?}"))?;
                for member in members.iter().filter(|member| member["role"] != "leader") {
                    let fit = member["state"] == "streaming" && member["timeline"] == timeline;
                    ensure!(fit, "not streaming on timeline {timeline}: {member}");
                }
                Ok(leader)
            },
        )
        .await
    }

    /// Asks the leader's PostgreSQL itself: what the store says may be older than a fault.
    async fn streams_to_all(&self, leader: usize) -> Result<()> {
        let names: Vec<String> = self
            .members
            .iter()
            .map(|member| format!("'{}'", member.name()))
            .collect();
        // Subscribers stand there, too.
        let streaming = format!(
            "SELECT count(DISTINCT application_name) FROM pg_stat_replication WHERE state = 'streaming' \
             AND application_name IN ({}) AND NOT pg_is_in_recovery()",
            names.join(", ")
        );
        let streaming = self.members[leader].query(&streaming).await?;
        let wanted = self.members.len() - 1;
        ensure!(
            streaming == wanted.to_string(),
            "{streaming} of {wanted} replicas stream"
        );
        Ok(())
    }

    /// `GET /cluster` from the first member that answers.
    ///
    /// # Errors
    /// When none does.
    pub async fn cluster(&self) -> Result<Value> {
        let mut last = None;
        for member in &self.members {
            match http::get(member.rest(), "/cluster").await {
                Ok(reply) if reply.status == 200 => return reply.json(),
                Ok(reply) => last = Some(format!("{} from {}", reply.status, member.name())),
                Err(error) => last = Some(format!("{error:#}")),
            }
        }
        bail!("no agent answers /cluster: {}", last.unwrap_or_default())
    }

    /// The dynamic configuration, `GET /config`, from the leader.
    ///
    /// # Errors
    /// When nobody leads, or it does not answer.
    pub async fn config(&self) -> Result<Value> {
        let leader = self.leader().await?;
        http::get(leader.rest(), "/config").await?.json()
    }

    /// A member's entry in `/cluster`.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn cluster_member(&self, name: &str) -> Result<Value> {
        let cluster = self.cluster().await?;
        let mut members = cluster["members"].as_array().into_iter().flatten();
        let found = members.find(|member| member["name"] == name).cloned();
        found.with_context(|| format!("{name} is not in /cluster: {cluster}"))
    }

    /// Runs the control program with a member's configuration; returns stdout.
    ///
    /// # Errors
    /// When it ends with anything but 0; carries what it printed.
    pub async fn ctl(&self, arguments: &[&str]) -> Result<String> {
        self.ctl_of(&self.program, arguments).await
    }

    /// The same with the control program of `program`, whoever made the cluster.
    ///
    /// # Errors
    /// When it ends with anything but 0; carries what it printed.
    pub async fn ctl_of(&self, program: &AgentProgram, arguments: &[&str]) -> Result<String> {
        let run = self.ctl_command(program, arguments)?.output();
        let output = tokio::time::timeout(FORMED, run)
            .await
            .context("ctl never ended")??;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&output.stderr);
        let command = arguments.join(" ");
        ensure!(
            output.status.success(),
            "`{command}`: {}\n{said}{wrong}",
            output.status
        );
        Ok(said)
    }

    /// The control program of this herd, not yet run: for whoever wants to interrupt it.
    ///
    /// # Errors
    /// When the herd has no member.
    pub fn ctl_to_interrupt(&self, arguments: &[&str]) -> Result<tokio::process::Command> {
        self.ctl_command(&self.program, arguments)
    }

    fn ctl_command(
        &self,
        program: &AgentProgram,
        arguments: &[&str],
    ) -> Result<tokio::process::Command> {
        let first = self.members.first().context("a herd needs a member")?;
        let config = first.config();
        let argv = program.ctl(&config.to_string_lossy());
        let (program, rest) = argv.split_first().context("an empty command line")?;
        let mut command = tokio::process::Command::new(program);
        command.args(rest).args(arguments);
        if self.kubernetes.is_some() {
            command.env("KUBECONFIG", first.kubeconfig());
        }
        Ok(command)
    }

    /// Addresses of all members, for an oracle.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.members.iter().map(Member::endpoint).collect()
    }

    /// SIGKILL to every process of every host, etcd's too.
    ///
    /// # Errors
    /// When something survives.
    pub fn kill_everything(&mut self) -> Result<()> {
        for member in &self.members {
            member.host().kill_all()?;
        }
        self.etcd.kill_all()
    }
}

/// Makes the folder of the archive, for the server's account.
fn make_archive_on(bed: &Testbed) -> Result<()> {
    let archive = archive_on(bed);
    fs_err::create_dir_all(&archive)?;
    PostgresTools::find()?.give(&archive)
}

fn archive_on(bed: &Testbed) -> PathBuf {
    bed.dir().join("archive")
}
