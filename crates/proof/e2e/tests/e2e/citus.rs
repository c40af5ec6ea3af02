//! A Citus cluster of three groups, with a stand-in for the extension: the coordinator and one worker are ours, the other
//! worker is Patroni's. What the coordinator's catalogue holds, and in which order it came to it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{FAILOVER, REJOIN, SOON};
use pgherd_testbed::{AgentProgram, Herd, HerdOptions, Member, PostgresTools, Testbed, wait_for};
use rustix::process::Signal;

/// The members, in the order of their groups.
const COORDINATOR: usize = 0;
const FIRST: usize = 1;
const SECOND: usize = 2;
const PATRONIS: usize = 3;
/// Group and role of each node, with its address, in the order of the groups.
const NODES: &str = "SELECT coalesce(string_agg(groupid || ' ' || noderole || ' ' || nodename || ':' || nodeport, ', ' \
                     ORDER BY groupid, noderole, nodename), '') FROM pg_dist_node";

/// The members by their groups, and what is asked of the catalogue.
struct Groups<'a> {
    herd: &'a mut Herd,
    has_patroni: bool,
}

impl Groups<'_> {
    fn member(&self, at: usize) -> &Member {
        &self.herd.members[at]
    }

    async fn catalogue(&self, sql: &str) -> Result<String> {
        self.member(COORDINATOR).query_in("app", sql).await
    }

    /// Waits until the catalogue lists the coordinator, Patroni's worker, and of group 1 this primary with these secondaries.
    async fn lists(&self, primary: usize, secondaries: &[usize], within: Duration) -> Result<()> {
        let node =
            |group: u32, role: &str, at: usize| format!("{group} {role} {}", self.member(at).sql());
        let mut wanted = vec![node(0, "primary", COORDINATOR), node(1, "primary", primary)];
        wanted.extend(secondaries.iter().map(|at| node(1, "secondary", *at)));
        if self.has_patroni {
            wanted.push(node(2, "primary", PATRONIS));
        }
        let wanted = wanted.join(", ");
        wait_for(&wanted, within, async || {
            let found = self.catalogue(NODES).await?;
            ensure!(found == wanted, "pg_dist_node lists {found}");
            Ok(())
        })
        .await
    }

    /// What the coordinator's PostgreSQL has logged.
    fn server_log(&self) -> Result<String> {
        let folder = self.member(COORDINATOR).data_dir().join("log");
        Ok(fs_err::read_to_string(folder.join("pgherd-start.log"))?)
    }

    /// The calls of Citus since `since`, each with its transaction.
    fn calls(&self, since: usize) -> Result<Vec<(String, String)>> {
        let log = self.server_log()?;
        let lines = log
            .get(since..)
            .context("the log has become shorter")?
            .lines();
        let told = lines.filter_map(|line| line.split_once("stand-in: ")?.1.rsplit_once(" in "));
        Ok(told
            .map(|(call, transaction)| (call.to_owned(), transaction.trim().to_owned()))
            .collect())
    }

    /// Of the changes of addresses since `since` those of these nodes are `wanted`, all in one transaction. A server that is away
    /// for longer than `loop_wait` is taken off and put on again besides.
    fn moved_in_one(&self, since: usize, nodes: &[&str], wanted: &[String]) -> Result<()> {
        let mut calls = self.calls(since)?;
        calls.retain(|(call, _)| {
            let mut nodes = nodes.iter();
            nodes.any(|node| call.starts_with(&format!("citus_update_node({node},")))
        });
        let made: Vec<&String> = calls.iter().map(|(call, _)| call).collect();
        ensure!(
            made.iter().copied().eq(wanted),
            "made {calls:#?} instead of {wanted:#?}"
        );
        let one = calls.windows(2).all(|pair| pair[0].1 == pair[1].1);
        ensure!(one, "in more than one transaction: {calls:#?}");
        Ok(())
    }

    /// Waits until a replica streams, so that it may lead.
    async fn streams(&self, primary: usize, replica: usize) -> Result<()> {
        let name = self.member(replica).name();
        let sql = format!(
            "SELECT count(*)::text FROM pg_stat_replication WHERE state = 'streaming' AND application_name = '{name}'"
        );
        wait_for("the replica to stream", REJOIN, async || {
            let streaming = self.member(primary).query(&sql).await?;
            ensure!(streaming == "1", "{streaming} streams of {name}");
            Ok(())
        })
        .await
    }

    async fn form(&mut self) -> Result<()> {
        for at in [COORDINATOR, FIRST] {
            self.herd.members[at].start()?;
        }
        if self.has_patroni {
            self.herd.members[PATRONIS].start()?;
        }
        wait_for("the first worker to lead", REJOIN, async || {
            ensure!(self.member(FIRST).health("/primary").await == Some(200));
            Ok(())
        })
        .await?;
        self.herd.members[SECOND].start()?;
        self.lists(FIRST, &[SECOND], REJOIN).await
    }

    async fn needs_of_citus(&self) -> Result<()> {
        for at in [COORDINATOR, SECOND] {
            let has = self
                .member(at)
                .query(
                    "SELECT concat_ws(' ', current_setting('shared_preload_libraries'), current_setting('wal_level'), \
                     current_setting('max_prepared_transactions'), current_setting('citus.local_hostname'))",
                )
                .await?;
            let own = self.member(at).sql().ip();
            ensure!(has == format!("citus logical 120 {own}"), "{at}: {has}");
        }
        let login = self
            .member(FIRST)
            .query_in(
                "app",
                "SELECT rolename || ' ' || authinfo FROM pg_dist_authinfo",
            )
            .await?;
        ensure!(login == "postgres password=superuser-pw", "{login}");
        Ok(())
    }

    async fn id_of_primary(&self, group: u32) -> Result<String> {
        let sql = format!(
            "SELECT nodeid::text FROM pg_dist_node WHERE groupid = {group} AND noderole = 'primary'"
        );
        self.catalogue(&sql).await
    }

    /// Switches group 1 over from the first to the second.
    async fn order_switch(&self) -> Result<()> {
        self.streams(FIRST, SECOND).await?;
        let candidate = self.member(SECOND).name();
        let order = [
            "switchover",
            "--group",
            "1",
            "--candidate",
            candidate,
            "--force",
        ];
        let said = self.herd.ctl(&order).await?;
        ensure!(said.contains("Successfully switched over to"), "{said}");
        Ok(())
    }

    async fn switch_over(&self) -> Result<()> {
        let since = self.server_log()?.len();
        let [from, to] = [FIRST, SECOND].map(|at| self.member(at).sql());
        let primary = self.id_of_primary(1).await?;
        let sql = format!(
            "SELECT nodeid::text FROM pg_dist_node WHERE groupid = 1 AND nodeid <> {primary}"
        );
        let secondary = self.catalogue(&sql).await?;
        self.order_switch().await?;
        self.lists(SECOND, &[FIRST], REJOIN).await?;
        let update = |id: &str, host: &str, port: u16| {
            format!("citus_update_node({id}, {host}, {port}, t, 2000)")
        };
        let (old, new) = (from.ip().to_string(), to.ip().to_string());
        self.moved_in_one(
            since,
            &[&primary, &secondary],
            &[
                update(&primary, &format!("{old}-demoted"), from.port()),
                update(&secondary, &old, from.port()),
                update(&primary, &new, to.port()),
            ],
        )
    }

    /// Patroni tells our coordinator of a restart of its primary.
    async fn restart_patronis(&self) -> Result<()> {
        let Some(patroni) = AgentProgram::patroni().filter(|_| self.has_patroni) else {
            return Ok(());
        };
        let since = self.server_log()?.len();
        let (scope, name) = (self.herd.scope(), self.member(PATRONIS).name());
        let order = ["restart", scope, name, "--group", "2", "--force"];
        let said = self.herd.ctl_of(&patroni, &order).await?;
        ensure!(said.contains("Success: restart on member"), "{said}");
        let id = self.id_of_primary(2).await?;
        let at = self.member(PATRONIS).sql();
        // Its least retry_timeout is 3 s.
        let update = |mark: &str| {
            format!(
                "citus_update_node({id}, {}{mark}, {}, t, 3000)",
                at.ip(),
                at.port()
            )
        };
        let wanted = [update("-demoted"), update("")];
        wait_for("the restart to be over for Citus", SOON, async || {
            self.moved_in_one(since, &[&id], &wanted)
        })
        .await
    }

    async fn balance_load(&self) -> Result<()> {
        let member = self.member(FIRST);
        let before = fs_err::read_to_string(member.config())?;
        fs_err::write(
            member.config(),
            format!("{before}tags:\n  noloadbalance: true\n"),
        )?;
        member.signal_agent(Signal::HUP)?;
        self.lists(SECOND, &[], SOON).await
    }

    async fn lose_the_primary(&mut self) -> Result<()> {
        let before = self.id_of_primary(1).await?;
        self.member(SECOND).host().kill_all()?;
        self.lists(FIRST, &[], FAILOVER).await?;
        let after = self.id_of_primary(1).await?;
        ensure!(
            before == after,
            "shards belong to node {before}, it is {after} now"
        );
        self.herd.members[SECOND].start()?;
        self.lists(FIRST, &[SECOND], REJOIN).await
    }

    /// The first stays `noloadbalance`, so it is listed only as a primary. Without a coordinator a switchover goes on as any does; its next leader lists what came of it.
    async fn switch_over_alone(&mut self) -> Result<()> {
        self.member(COORDINATOR).host().kill_all()?;
        self.order_switch().await?;
        self.herd.members[COORDINATOR].start()?;
        self.lists(SECOND, &[], FAILOVER).await
    }

    async fn show(&self) -> Result<()> {
        let table = self.herd.ctl(&["list"]).await?;
        ensure!(table.starts_with("+ Citus cluster: citus "), "{table}");
        for at in [COORDINATOR, FIRST, SECOND] {
            let name = self.member(at).name();
            let row = table.lines().find(|line| line.contains(name));
            let group = u32::from(at != COORDINATOR);
            let row = row.with_context(|| format!("no row of {name}:\n{table}"))?;
            ensure!(row.starts_with(&format!("|     {group} | ")), "{row}");
        }
        let versions = self.herd.ctl(&["version", "citus"]).await?;
        ensure!(
            versions.lines().count() >= 5,
            "members of all groups:\n{versions}"
        );
        let own = self.herd.ctl(&["show-config"]).await?;
        ensure!(own.contains("ttl: 5"), "{own}");
        Ok(())
    }
}

#[tokio::test]
async fn the_coordinator_lists_the_nodes_of_all_groups_through_every_change_of_a_primary()
-> Result<()> {
    let bed = Testbed::new("citus")?;
    let patroni = AgentProgram::patroni();
    let mut groups = vec![0, 1, 1];
    groups.extend(patroni.is_some().then_some(2));
    let options = HerdOptions {
        members: groups.len(),
        stores: 1,
        citus: groups,
        tools: Some(PostgresTools::with_citus(&bed)?),
        ..HerdOptions::default()
    };
    let mut herd = Herd::prepare_on(bed, "citus", "", &options).await?;
    let has_patroni = patroni.is_some();
    if let Some(patroni) = patroni {
        herd.members[PATRONIS].install(patroni);
    }
    let outcome = async {
        let mut groups = Groups {
            herd: &mut herd,
            has_patroni,
        };
        groups.form().await.context("forming")?;
        groups.needs_of_citus().await?;
        groups.switch_over().await.context("a switchover")?;
        groups
            .restart_patronis()
            .await
            .context("Patroni's restart")?;
        groups.balance_load().await.context("noloadbalance")?;
        groups.lose_the_primary().await.context("a lost primary")?;
        groups.show().await?;
        let alone = groups.switch_over_alone().await;
        alone.context("a switchover without the coordinator")
    };
    outcome.await.with_context(|| herd.bed().report())
}
