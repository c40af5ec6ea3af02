//! Pause, in a herd of Patroni and in one of ours: one script of an operator's steps for both, and what is seen of the
//! members after each must be the same.

mod synchronous;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{REJOIN, SOON};
use pgherd_testbed::{AgentProgram, Herd, HerdOptions, Member, request_text, wait_for};
use rustix::process::Signal;
use serde_json::Value;

/// An order watches the cluster for twenty seconds at most.
const ORDER: Duration = Duration::from_secs(45);
/// Which member leads at first, and which follows.
const FIRST: usize = 0;
const SECOND: usize = 1;
/// Member, path and body of orders that are refused in pause while `pg1` leads; `pg2` has `failover_priority: 0` then.
const REFUSED: [(usize, &str, &str); 7] = [
    (FIRST, "/switchover", r#"{"leader": "pg1"}"#),
    (
        FIRST,
        "/switchover",
        r#"{"leader": "pg1", "candidate": "pg2"}"#,
    ),
    (FIRST, "/failover", r#"{"candidate": "pg2"}"#),
    (FIRST, "/failover", r#"{"candidate": "pg1"}"#),
    (FIRST, "/reinitialize", "{}"),
    (
        SECOND,
        "/switchover",
        r#"{"leader": "pg2", "candidate": "pg1"}"#,
    ),
    (SECOND, "/restart", r#"{"role": "primary"}"#),
];
/// The same while nobody leads.
const REFUSED_WITHOUT_LEADER: [(usize, &str, &str); 3] = [
    (SECOND, "/reinitialize", "{}"),
    (
        SECOND,
        "/switchover",
        r#"{"leader": "pg1", "candidate": "pg2"}"#,
    ),
    (FIRST, "/restart", r#"{"role": "replica"}"#),
];

/// The two herds, and what differed so far.
struct Pair<'a> {
    theirs: &'a Herd,
    ours: &'a Herd,
    differing: Vec<String>,
}

impl Pair<'_> {
    /// Does the same to both at the same time; what came of it must be the same.
    async fn both(&mut self, step: &str, on: impl AsyncFn(&Herd) -> Result<String>) -> Result<()> {
        let both = tokio::try_join!(on(self.theirs), on(self.ours));
        let (theirs, ours) = both.with_context(|| step.to_owned())?;
        if theirs != ours {
            self.differ(step, &theirs, &ours);
        }
        Ok(())
    }

    /// Waits until `holds` in both, and then until both look alike: each shows itself in its own time.
    async fn until(&mut self, step: &str, holds: impl AsyncFn(&Herd) -> Result<()>) -> Result<()> {
        tokio::try_join!(
            wait_for(step, REJOIN, async || holds(self.theirs).await),
            wait_for(step, REJOIN, async || holds(self.ours).await),
        )?;
        let mut last = (String::new(), String::new());
        let alike = wait_for("both to look alike", SOON, async || {
            last = tokio::try_join!(looks(self.theirs), looks(self.ours))?;
            ensure!(last.0 == last.1, "they do not");
            Ok(())
        })
        .await;
        if alike.is_err() {
            self.differ(step, &last.0, &last.1);
        }
        Ok(())
    }

    fn differ(&mut self, step: &str, theirs: &str, ours: &str) {
        let text = format!("{step}\nPatroni:\n{theirs}\npgherd:\n{ours}");
        self.differing.push(text);
    }
}

/// What is to be seen of `/sync` and of every member: in `/cluster`, in its own document, by health checks, and the line of
/// its loop.
async fn looks(herd: &Herd) -> Result<String> {
    let sync = of(&sync(herd).await?, &["leader", "sync_standby", "quorum"]);
    let mut all = format!("leader {}, sync {sync}", key(herd, "leader").await?);
    for member in &herd.members {
        let entry = herd.cluster_member(member.name()).await?;
        let status = member.status().await?;
        let mut seen = vec![
            of(&entry, &["name", "role", "state", "timeline"]),
            of(&status, &["state", "pause", "cluster_unlocked"]),
        ];
        // Of a server that does not run ours says what became of it.
        if entry["state"] != "stopped" {
            seen.push(of(&status, &["role", "replication_state"]));
        }
        for path in [
            "/primary",
            "/replica",
            "/sync",
            "/async",
            "/health",
            "/readiness",
        ] {
            seen.push(format!("{path} {:?}", member.health(path).await));
        }
        seen.push(line(member));
        all = format!("{all}\n  {}", seen.join("; "));
    }
    Ok(all)
}

fn of(document: &Value, names: &[&str]) -> String {
    let values = names.iter().map(|name| document[*name].to_string());
    values.collect::<Vec<_>>().join(" ")
}

/// What a member's loop said last in pause.
fn line(member: &Member) -> String {
    let log = member.log();
    let mut lines = log.lines().rev();
    let last = lines.find_map(|line| line.split_once("PAUSE: "));
    last.map_or_else(String::new, |(_, said)| said.trim().to_owned())
}

/// A key of the cluster; empty when there is none.
async fn key(herd: &Herd, name: &str) -> Result<String> {
    let path = format!("/service/{}/{name}", herd.scope());
    herd.etcd.value(&path).await
}

/// `/sync`; null when it is not there.
async fn sync(herd: &Herd) -> Result<Value> {
    let text = key(herd, "sync").await?;
    if text.is_empty() {
        return Ok(Value::Null);
    }
    Ok(serde_json::from_str(&text)?)
}

async fn order(herd: &Herd, (at, path, body): (usize, &str, &str)) -> Result<String> {
    let reply = request_text("POST", herd.members[at].rest(), path, body, ORDER).await?;
    Ok(format!("{path} {body}: {} {}", reply.status, reply.body))
}

async fn orders(herd: &Herd, all: &[(usize, &str, &str)]) -> Result<String> {
    let mut said = Vec::new();
    for one in all {
        said.push(order(herd, *one).await?);
    }
    Ok(said.join("\n"))
}

/// Tags of the second member, by a reload.
async fn tag(herd: &Herd, tags: &str) -> Result<String> {
    let path = herd.members[SECOND].config();
    let text = fs_err::read_to_string(path)?;
    let kept: Vec<_> = text.lines().filter(|it| !it.starts_with("tags:")).collect();
    fs_err::write(path, format!("{}\n{tags}", kept.join("\n")))?;
    herd.members[SECOND].signal_agent(Signal::HUP)?;
    Ok(String::new())
}

async fn streams(herd: &Herd, name: &str) -> Result<()> {
    let entry = herd.cluster_member(name).await?;
    ensure!(entry["state"] == "streaming", "{entry}");
    Ok(())
}

async fn leads(herd: &Herd, at: usize) -> Result<()> {
    let leader = herd.leader_index().await?;
    ensure!(leader == at, "{} leads", herd.members[leader].name());
    Ok(())
}

/// The script.
async fn steps(pair: &mut Pair<'_>) -> Result<()> {
    pair.both("tags", async |herd| {
        tag(herd, "tags: {failover_priority: 0, noloadbalance: true}\n").await
    })
    .await?;
    pair.both("pause", async |herd| herd.ctl(&["pause", "--wait"]).await)
        .await?;
    pair.until("the tags are published", async |herd| {
        let entry = herd.cluster_member("pg2").await?;
        ensure!(entry["tags"]["failover_priority"] == 0, "{entry}");
        streams(herd, "pg2").await
    })
    .await?;
    pair.both("orders that are refused", async |herd| {
        orders(herd, &REFUSED).await
    })
    .await?;
    pair.both("no tags", async |herd| tag(herd, "").await)
        .await?;

    pair.both("reinit", async |herd| {
        order(herd, (SECOND, "/reinitialize", "{}")).await
    })
    .await?;
    pair.until("the copy streams", async |herd| {
        // The first one was made when the herd was.
        let log = herd.members[SECOND].log();
        let copies = log.matches("replica has been created using basebackup");
        ensure!(copies.count() == 2, "no second copy");
        let entry = herd.cluster_member("pg2").await?;
        ensure!(entry.get("tags").is_none(), "{entry}");
        streams(herd, "pg2").await
    })
    .await?;

    synchronous::steps(pair).await?;

    pair.both("the leader is killed by hand", async |herd| {
        herd.members[FIRST].kill_postmaster()?;
        Ok(String::new())
    })
    .await?;
    pair.until("the key is given up", async |herd| {
        let leader = key(herd, "leader").await?;
        ensure!(leader.is_empty(), "{leader} has it");
        Ok(())
    })
    .await?;
    pair.both("orders without a leader", async |herd| {
        orders(herd, &REFUSED_WITHOUT_LEADER).await
    })
    .await?;
    let failover = (SECOND, "/failover", r#"{"candidate": "pg2"}"#);
    pair.both("failover in pause", async |herd| {
        order(herd, failover).await
    })
    .await?;
    pair.until("the candidate leads", async |herd| {
        leads(herd, SECOND).await
    })
    .await?;
    pair.both("resume", async |herd| herd.ctl(&["resume", "--wait"]).await)
        .await?;
    pair.both("all is well", async |herd| {
        let leader = herd.wait_formed(REJOIN).await?;
        Ok(herd.members[leader].name().to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_is_what_patronis_users_know() -> Result<()> {
    let Some(patroni) = AgentProgram::patroni() else {
        println!("skipped: Patroni is not installed (scripts/setup.sh test gets it)");
        return Ok(());
    };
    let options = |agent| HerdOptions {
        members: 2,
        stores: 1,
        // Patroni's least ttl is 20 s.
        ttl: 20,
        retry_timeout: 3,
        agent,
        ..HerdOptions::default()
    };
    let (of_theirs, of_ours) = (options(Some(patroni)), options(None));
    let (theirs, ours) = tokio::try_join!(
        Herd::start("pausp", &of_theirs),
        Herd::start("paus", &of_ours),
    )?;
    let mut pair = Pair {
        theirs: &theirs,
        ours: &ours,
        differing: Vec::new(),
    };
    let outcome = Box::pin(steps(&mut pair)).await;
    let differing = pair.differing;
    outcome.with_context(|| format!("{}\n{}", theirs.bed().report(), ours.bed().report()))?;
    ensure!(differing.is_empty(), "{}", differing.join("\n\n"));
    Ok(())
}
