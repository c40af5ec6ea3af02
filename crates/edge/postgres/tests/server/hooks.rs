//! The operator's callbacks and hooks: who is called when, told what, one at a time, and for how long.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use camino::Utf8PathBuf;
use pgherd_domain::{
    ClusterView, Hook, HookEnd, LeaderKey, Moment, PgRole, StartAs, StopMode, Work, WorkError,
};
use pgherd_ports::{Clock as _, LocalPostgres as _, SystemClock};
use pgherd_settings::{Settings, StandbyCluster};

use crate::bed::{Bed, Member, PATIENCE};

/// A shell script in the bed.
fn script(bed: &Bed, name: &str, text: &str) -> Utf8PathBuf {
    let path = bed.path().join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A file that scripts of any account may add to.
fn book(bed: &Bed) -> Utf8PathBuf {
    let path = bed.path().join("book");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    path
}

fn set_callbacks(settings: &mut Settings, command: &str) {
    let callbacks = &mut settings.changing.postgresql.callbacks;
    for each in [
        &mut callbacks.on_start,
        &mut callbacks.on_stop,
        &mut callbacks.on_restart,
        &mut callbacks.on_reload,
        &mut callbacks.on_role_change,
    ] {
        *each = Some(command.to_owned());
    }
}

/// The cluster as the DCS shows it while `leader` leads.
fn led_by(leader: &Member) -> ClusterView {
    ClusterView {
        leader: Some(LeaderKey {
            name: leader.name(),
            revision: 1,
            on_my_lease: false,
        }),
        ..ClusterView::default()
    }
}

impl Member {
    async fn sees(&self, role: PgRole, view: &ClusterView) {
        let settings = std::sync::Arc::clone(&self.settings);
        self.server.observe().await;
        self.server.configure(settings, role, Some(view)).await;
    }

    /// Waits until so many runs of a hook have ended, and gives how the last one ended.
    async fn ended(&self, hook: Hook, runs: u64) -> HookEnd {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let book = self.server.hooks();
            let of_hook = book.counts.iter().filter(|((of, _), _)| *of == hook);
            if of_hook.map(|(_, count)| count).sum::<u64>() >= runs {
                return book.last[&hook].end.clone();
            }
            assert!(tokio::time::Instant::now() < deadline, "{hook}: {book:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Whether a process runs; one that has ended and waits to be reaped does not.
fn runs(pid: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn in_a_moment(span: Duration) -> Moment {
    SystemClock.now().plus(span)
}

#[tokio::test]
async fn every_event_calls_its_callback_with_hook_role_and_scope() {
    let bed = Bed::new();
    let book = book(&bed);
    let tell = script(&bed, "tell.sh", &format!("echo \"$*\" >>{book}"));
    let set = |settings: &mut Settings| set_callbacks(settings, &format!("{tell} 'its own' "));
    let (a, b) = (bed.member_with("a", set), bed.member_with("b", set));
    let mut told = Vec::new();
    let mut tells = async |member: &Member, hook: Hook, role: &str| {
        assert_eq!(member.ended(hook, 1).await, HookEnd::Succeeded, "{hook}");
        told.push(format!("{} {hook} {role}", member.name()));
    };

    a.carry_out(Work::Bootstrap).await.unwrap();
    assert_eq!(
        std::fs::read_to_string(&book).unwrap(),
        "",
        "while bootstrapping nothing is told"
    );
    a.sees(PgRole::Primary, &led_by(&a)).await;
    tells(&a, Hook::OnStart, "primary").await;
    a.sees(PgRole::Primary, &led_by(&a)).await;
    a.server.reload().await.unwrap();
    tells(&a, Hook::OnReload, "primary").await;
    let start_as = StartAs::Primary { valid_until: None };
    a.carry_out(Work::Restart {
        start_as,
        timeout: PATIENCE,
    })
    .await
    .unwrap();
    tells(&a, Hook::OnRestart, "primary").await;
    b.join(&a).await;
    tells(&b, Hook::OnStart, "replica").await;

    // A switchover: the old leader has given its key up before its server is gone.
    a.server.note_leading(false);
    a.carry_out(Work::Stop {
        mode: StopMode::Fast,
        escalate_at: None,
    })
    .await
    .unwrap();
    tells(&a, Hook::OnStop, "demoted").await;
    b.promote().await;
    tells(&b, Hook::OnRoleChange, "primary").await;
    a.stream_from(&b).await;
    tells(&a, Hook::OnRoleChange, "replica").await;
    a.sees(PgRole::Replica, &led_by(&b)).await;
    // Its files say what a primary's do from now on.
    b.sees(PgRole::Primary, &led_by(&b)).await;
    tells(&b, Hook::OnReload, "primary").await;

    // A lease that ends.
    b.server.fence().await;
    tells(&b, Hook::OnStop, "primary").await;

    let wanted: Vec<String> = told
        .iter()
        .map(|line| {
            let (_, event) = line.split_once(' ').unwrap();
            format!("its own {event} herd")
        })
        .collect();
    let found = std::fs::read_to_string(&book).unwrap();
    assert_eq!(found.lines().collect::<Vec<_>>(), wanted);
}

#[tokio::test]
async fn the_leader_of_a_standby_cluster_is_told_as_one_also_when_it_has_an_archive_alone() {
    let bed = Bed::new();
    let book = book(&bed);
    let tell = script(&bed, "tell.sh", &format!("echo \"$*\" >>{book}"));
    let first = bed.primary("a").await;
    let stop = Work::Stop {
        mode: StopMode::Fast,
        escalate_at: None,
    };
    first.carry_out(stop).await.unwrap();
    let member = first.with_new_agent();
    let mut settings = Settings::clone(&member.settings);
    set_callbacks(&mut settings, tell.as_str());
    settings.changing.cluster.standby_cluster = Some(StandbyCluster {
        restore_command: Some("false".into()),
        ..StandbyCluster::default()
    });
    let settings = std::sync::Arc::new(settings);
    let configuring = member
        .server
        .configure(settings, PgRole::StandbyLeader, None);
    configuring.await;
    member.server.note_leading(true);
    let start_as = StartAs::Replica { upstream: None };
    member.start(start_as.clone()).await.unwrap();
    assert_eq!(member.ended(Hook::OnStart, 1).await, HookEnd::Succeeded);
    let timeout = PATIENCE;
    let restart = Work::Restart { start_as, timeout };
    member.carry_out(restart).await.unwrap();
    assert_eq!(member.ended(Hook::OnRestart, 1).await, HookEnd::Succeeded);
    assert_eq!(
        std::fs::read_to_string(&book).unwrap(),
        "on_start standby_leader herd\non_restart standby_leader herd\n"
    );
}

#[tokio::test]
async fn an_agent_that_finds_a_running_server_tells_its_start_once() {
    let bed = Bed::new();
    let book = book(&bed);
    let tell = script(&bed, "tell.sh", &format!("echo \"$*\" >>{book}"));
    let before = bed.member_with("a", |settings| set_callbacks(settings, tell.as_str()));
    before.carry_out(Work::Bootstrap).await.unwrap();

    let found = before.with_new_agent();
    // Nobody knows yet who leads: what it is called would be a guess.
    found.sees(PgRole::Primary, &ClusterView::default()).await;
    for _ in 0..3 {
        found.sees(PgRole::Primary, &led_by(&found)).await;
    }
    assert_eq!(found.ended(Hook::OnStart, 1).await, HookEnd::Succeeded);
    assert_eq!(
        std::fs::read_to_string(&book).unwrap(),
        "on_start primary herd\n"
    );
}

#[tokio::test]
async fn the_newest_event_ends_a_callback_that_still_runs_and_its_children() {
    let bed = Bed::new();
    let (book, pids) = (book(&bed), bed.path().join("pids"));
    std::fs::create_dir(&pids).unwrap();
    std::fs::set_permissions(&pids, std::fs::Permissions::from_mode(0o777)).unwrap();
    // Everything but a reload runs for ever, in a child.
    let text = format!(
        "echo \"$*\" >>{book}\nsleep 1000 &\necho $! >{pids}/$1.new; mv {pids}/$1.new {pids}/$1\nwait"
    );
    let slow = script(&bed, "slow.sh", &text);
    let member = bed.member_with("a", |settings| set_callbacks(settings, slow.as_str()));
    member.carry_out(Work::Bootstrap).await.unwrap();
    let child = async |hook: Hook| {
        let file = pids.join(hook.name());
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Ok(pid) = std::fs::read_to_string(&file) {
                return pid.trim().to_owned();
            }
            assert!(tokio::time::Instant::now() < deadline, "{hook} never runs");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    member.sees(PgRole::Primary, &led_by(&member)).await;
    let first = child(Hook::OnStart).await;
    member.server.reload().await.unwrap();
    let reload = child(Hook::OnReload).await;
    assert!(runs(&first), "a reload has a place of its own");

    let start_as = StartAs::Primary { valid_until: None };
    member
        .carry_out(Work::Restart {
            start_as,
            timeout: PATIENCE,
        })
        .await
        .unwrap();
    let second = child(Hook::OnRestart).await;
    assert_eq!(member.ended(Hook::OnStart, 1).await, HookEnd::Superseded);
    assert!(!runs(&first) && runs(&second) && runs(&reload));
    for left in [second, reload] {
        let pid = rustix::process::Pid::from_raw(left.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}

#[tokio::test]
async fn a_hook_that_takes_too_long_is_killed_and_one_that_fails_is_told() {
    let bed = Bed::new();
    let forever = script(&bed, "forever.sh", "exec sleep 1000");
    let member = bed.member_with("a", |settings| {
        let pg = &mut settings.changing.postgresql;
        pg.hook_timeout = Some(Duration::from_millis(200));
        pg.callbacks.on_start = Some(forever.to_string());
        pg.callbacks.on_reload = Some("sh -c 'exit 7'".to_owned());
        pg.callbacks.on_restart = Some("/no/such/program".to_owned());
        pg.pre_promote = Some(forever.to_string());
    });
    member.carry_out(Work::Bootstrap).await.unwrap();
    member.sees(PgRole::Primary, &led_by(&member)).await;
    assert_eq!(member.ended(Hook::OnStart, 1).await, HookEnd::TimedOut);
    member.server.reload().await.unwrap();
    let HookEnd::Failed(why) = member.ended(Hook::OnReload, 1).await else {
        panic!("{:?}", member.server.hooks());
    };
    assert!(why.contains('7'), "{why}");
    let start_as = StartAs::Primary { valid_until: None };
    member
        .carry_out(Work::Restart {
            start_as,
            timeout: PATIENCE,
        })
        .await
        .unwrap();
    let HookEnd::Failed(why) = member.ended(Hook::OnRestart, 1).await else {
        panic!("{:?}", member.server.hooks());
    };
    assert!(why.contains("can not be started"), "{why}");

    let Err(WorkError::Failed(why)) = member.carry_out(Work::PrePromote).await else {
        panic!("a promotion would go on");
    };
    assert!(why.contains("pre_promote"), "{why}");
    assert_eq!(member.ended(Hook::PrePromote, 1).await, HookEnd::TimedOut);
}

#[tokio::test]
async fn pre_promote_decides_whether_the_server_is_promoted() {
    let bed = Bed::new();
    let primary = bed.primary("a").await;
    for (name, command, may) in [
        ("b", "true", true),
        ("c", "sh -c 'echo no >&2; exit 1'", false),
    ] {
        let replica = bed.member_with(name, |settings| {
            settings.changing.postgresql.pre_promote = Some(command.to_owned());
        });
        replica.join(&primary).await;
        let ran = replica.carry_out(Work::PrePromote).await;
        assert_eq!(ran.is_ok(), may, "{ran:?}");
        if let Err(error) = ran {
            assert!(error.to_string().contains("no"), "{error}");
        }
        let live = replica.server.observe().await;
        assert!(live.live.known().unwrap().in_recovery);
    }
}

#[tokio::test]
async fn before_stop_goes_before_each_fast_stop_whatever_comes_of_it() {
    let bed = Bed::new();
    let book = book(&bed);
    let data_dir = bed.path().join("a/data");
    let text = format!("test -e {data_dir}/postmaster.pid && echo runs >>{book}\nexit 1");
    let look = script(&bed, "look.sh", &text);
    let member = bed.member_with("a", |settings| {
        settings.changing.postgresql.before_stop = Some(look.to_string());
    });
    member.carry_out(Work::Bootstrap).await.unwrap();
    let start_as = StartAs::Primary { valid_until: None };
    let timeout = PATIENCE;
    member
        .carry_out(Work::Restart {
            start_as: start_as.clone(),
            timeout,
        })
        .await
        .unwrap();
    let stop = |mode| Work::Stop {
        mode,
        escalate_at: None,
    };
    member.carry_out(stop(StopMode::Fast)).await.unwrap();
    assert_eq!(std::fs::read_to_string(&book).unwrap(), "runs\nruns\n");
    let counts: BTreeMap<_, _> = member.server.hooks().counts;
    assert_eq!(counts, [((Hook::BeforeStop, "failed"), 2)].into());

    // An immediate stop is an emergency.
    member.start(start_as).await.unwrap();
    member.carry_out(stop(StopMode::Immediate)).await.unwrap();
    assert_eq!(std::fs::read_to_string(&book).unwrap(), "runs\nruns\n");
}

#[tokio::test]
async fn before_stop_never_makes_a_stop_later_than_its_lease_allows() {
    let bed = Bed::new();
    let forever = script(&bed, "forever.sh", "exec sleep 1000");
    let member = bed.member_with("a", |settings| {
        settings.changing.postgresql.before_stop = Some(forever.to_string());
        settings.changing.postgresql.hook_timeout = None;
    });
    member.carry_out(Work::Bootstrap).await.unwrap();
    let escalate_at = in_a_moment(Duration::from_secs(2));
    let stop = Work::Stop {
        mode: StopMode::Fast,
        escalate_at: Some(escalate_at),
    };
    member.carry_out(stop).await.unwrap();
    assert_eq!(member.ended(Hook::BeforeStop, 1).await, HookEnd::TimedOut);
    assert_eq!(member.processes(), 0);
    let took = member.server.hooks().last[&Hook::BeforeStop].took;
    assert!(took <= Duration::from_secs(1) + PATIENCE / 10, "{took:?}");
}
