//! Logical replication: a real publication and a real subscription, whose slot goes with the leader.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{FAILOVER, REJOIN, SOON, rows_arrive, verdict, with_herd};
use pgherd_testbed::{
    Aim, BarePostgres, Herd, HerdOptions, Login, Oracle, OracleOptions, connect, wait_for,
};

/// Rows and different rows of the table that clients write to.
const COUNT: &str = "SELECT count(*) || ' rows, ' || count(DISTINCT (client, seq)) || ' different' FROM pgherd_oracle";

pub(crate) fn options() -> HerdOptions {
    let lines = [
        "slots:",
        "  cdc:",
        "    database: postgres",
        "    plugin: pgoutput",
    ];
    HerdOptions {
        members: 2,
        dcs_lines: lines.map(str::to_owned).to_vec(),
        wal_level: "logical".to_owned(),
        ..HerdOptions::default()
    }
}

/// A server that subscribes to whoever leads.
struct Subscriber {
    server: BarePostgres,
}

impl Subscriber {
    async fn of(herd: &Herd) -> Result<Self> {
        let host = herd.bed().host("sub")?;
        let server = BarePostgres::primary(&host).await?;
        let subscriber = Self { server };
        let login = Login::superuser();
        // Without a key, so that a row that comes twice is there twice.
        subscriber
            .execute("CREATE TABLE pgherd_oracle (client int, seq bigint)")
            .await?;
        let (hosts, ports): (Vec<_>, Vec<_>) = herd
            .members
            .iter()
            .map(|member| {
                (
                    member.sql().ip().to_string(),
                    member.sql().port().to_string(),
                )
            })
            .unzip();
        subscriber
            .execute(&format!(
                "CREATE SUBSCRIPTION sub CONNECTION 'host={} port={} user={} password={} dbname=postgres \
                 target_session_attrs=read-write' PUBLICATION pub \
                 WITH (slot_name = 'cdc', create_slot = false, copy_data = false)",
                hosts.join(","),
                ports.join(","),
                login.user,
                login.password
            ))
            .await?;
        Ok(subscriber)
    }

    async fn execute(&self, sql: &str) -> Result<()> {
        let client = connect(self.server.address(), &Login::superuser()).await?;
        Ok(client.batch_execute(sql).await?)
    }

    async fn count(&self) -> Result<String> {
        let client = connect(self.server.address(), &Login::superuser()).await?;
        Ok(client.query_one(COUNT, &[]).await?.get(0))
    }

    /// Waits until it has exactly the rows that the leader has.
    async fn is_level(&self, herd: &Herd) -> Result<()> {
        wait_for(
            "the subscriber to have every row once",
            REJOIN,
            async || {
                let leads = herd.leader().await?.query(COUNT).await?;
                let has = self.count().await?;
                ensure!(leads == has, "the leader has {leads}, the subscriber {has}");
                Ok(())
            },
        )
        .await
    }
}

/// Waits until `member`, a replica, has a copy of the slot that it may lead with: the agent's, or from PostgreSQL
/// 17 on one that PostgreSQL keeps in step itself.
async fn copy_is_safe(herd: &Herd, member: usize, since: usize) -> Result<()> {
    wait_for("a copy of the slot that is safe", REJOIN, async || {
        let native = "SELECT count(*) FROM pg_replication_slots AS s WHERE slot_name = 'cdc' \
                      AND (to_jsonb(s) ->> 'synced')::bool AND NOT temporary";
        if herd.members[member].query(native).await? == "1" {
            return Ok(());
        }
        let log = herd.members[member].log();
        let log = log.get(since..).unwrap_or_default();
        ensure!(
            log.contains("Logical slot cdc is safe to be used after a failover"),
            "not yet"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_subscriber_misses_and_repeats_no_row_across_failover_rebuild_and_switchover()
-> Result<()> {
    no_row_is_missed_or_repeated("logical", options()).await
}

/// The subscriber has every row once, through a failover, a rebuilt standby and a switchover.
pub(crate) async fn no_row_is_missed_or_repeated(story: &str, options: HerdOptions) -> Result<()> {
    with_herd(story, options, async |herd| {
        let mut oracle = Oracle::prepare(herd.leader().await?.sql()).await?;
        let first = herd.leader_index().await?;
        let second = 1 - first;
        let leader = herd.leader().await?;
        wait_for("the permanent slot", SOON, async || {
            let slot = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'cdc'";
            ensure!(leader.query(slot).await? == "1", "none yet");
            Ok(())
        })
        .await?;
        // Nobody can decode for a publication what was written before it.
        leader
            .execute("CREATE PUBLICATION pub FOR TABLE pgherd_oracle")
            .await?;
        leader
            .execute("SELECT pg_replication_slot_advance('cdc', pg_current_wal_lsn())")
            .await?;
        let subscriber = Subscriber::of(herd).await?;
        oracle.watch_each(&herd.endpoints());
        oracle.write(&Aim::Leader(herd.endpoints()), &OracleOptions::default());
        rows_arrive(&oracle, 100).await?;
        copy_is_safe(herd, second, 0).await?;
        let feedback = "SELECT current_setting('hot_standby_feedback')";
        ensure!(
            herd.members[second].query(feedback).await? == "on",
            "feedback is off"
        );

        // Nothing but PostgreSQL 17 keeps a subscriber from getting ahead of a standby, so here it is behind.
        subscriber.execute("ALTER SUBSCRIPTION sub DISABLE").await?;
        rows_arrive(&oracle, 100).await?;
        standby_has_what_was_confirmed(herd, first, second).await?;
        herd.members[first].host().kill_all()?;
        ensure!(
            herd.wait_other_leader(first, FAILOVER).await? == second,
            "nobody took over"
        );
        rows_arrive(&oracle, 100).await?;
        subscriber.execute("ALTER SUBSCRIPTION sub ENABLE").await?;

        // The old primary is copied anew: its slot with it.
        let seen = herd.members[first].log().len();
        herd.members[first].start()?;
        herd.wait_formed(REJOIN).await?;
        let name = herd.members[first].name().to_owned();
        herd.ctl(&["reinit", herd.scope(), &name, "--force", "--wait"])
            .await?;
        herd.wait_formed(REJOIN).await?;
        copy_is_safe(herd, first, seen).await?;

        let said = herd
            .ctl(&["switchover", "--candidate", &name, "--force"])
            .await?;
        ensure!(said.contains("Successfully switched over to"), "{said}");
        rows_arrive(&oracle, 100).await?;
        verdict(herd, &mut oracle).await?;
        subscriber.is_level(herd).await?;
        println!("subscriber: {}", subscriber.count().await?);

        a_slot_that_can_not_be_made_is_told(herd).await
    })
    .await
}

async fn standby_has_what_was_confirmed(herd: &Herd, first: usize, second: usize) -> Result<()> {
    let slot = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = 'cdc'";
    let confirmed = herd.members[first].query(slot).await?;
    let has = format!("SELECT pg_last_wal_receive_lsn() >= '{confirmed}'::pg_lsn");
    wait_for(
        "the standby to have what the subscriber has",
        SOON,
        async || {
            ensure!(herd.members[second].query(&has).await? == "t", "not yet");
            Ok(())
        },
    )
    .await
}

/// An impossible plugin is told with what to correct; the cluster goes on.
async fn a_slot_that_can_not_be_made_is_told(herd: &Herd) -> Result<()> {
    let slot = "slots={\"cdc\": {\"database\": \"postgres\", \"plugin\": \"pgoutput\"}, \
                \"odd\": {\"database\": \"postgres\", \"plugin\": \"no_such\"}}";
    herd.ctl(&["edit-config", "--force", "-s", slot]).await?;
    let leader = herd.leader().await?;
    wait_for("the leader to say what is wrong", SOON, async || {
        let log = leader.log();
        let line = log
            .lines()
            .find(|line| line.contains("permanent logical slot 'odd'"));
        let line = line.context("nothing yet")?;
        ensure!(line.contains("no_such"), "{line}");
        Ok(())
    })
    .await?;
    herd.wait_formed(Duration::from_secs(20)).await.map(drop)
}
