//! Copies: progress, slots, and the old directory while the new one is not proven.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use pgherd_domain::{Adjustment, DataDirectory, SlotName, StartAs, Upstream, Work};
use pgherd_ports::{LocalPostgres as _, Progress, Wake};
use pgherd_settings::ReplicaMethod;

use crate::bed::{Bed, PATIENCE, bin_dir};

#[tokio::test]
async fn a_copy_tells_its_progress_and_streams_through_its_slot() {
    let bed = Bed::new();
    let primary = bed.primary("a").await;
    primary
        .run("create table filler as select repeat('x', 1000) as x from generate_series(1, 20000)")
        .await;
    let replica = bed.member("b");
    let wake = Wake::new();
    let progress = Progress::waking(wake);
    let source = primary.upstream_of(&replica);
    let work = Work::Clone {
        source,
        basebackup_only: false,
    };
    replica.server.carry_out(&work, &progress).await.unwrap();
    let said = progress.said().unwrap();
    assert!(
        said.starts_with("copying ") && said.ends_with("MB (100 %)"),
        "{said}"
    );

    replica.stream_from(&primary).await;
    replica.has("select count(*) from filler", "20000").await;
    let seen = replica.server.observe().await;
    let live = seen.live.known().unwrap();
    let receiver = live.receiver.as_ref().unwrap();
    assert!(seen.standby_signal && live.in_recovery);
    assert_eq!(receiver.slot.as_deref(), Some("b"));
    assert_eq!(receiver.port, Some(primary.port()));
    assert_eq!(
        live.configured_upstream,
        Some(("127.0.0.1".into(), primary.port()))
    );
    assert_eq!(live.timeline.0, 1);
    assert!(!live.received.is_zero() && !live.replayed.is_zero());

    let seen = primary.server.observe().await;
    let live = seen.live.known().unwrap();
    assert!(live.slots["b"].active && !live.slots["b"].logical);
    assert_eq!(live.senders_to(&replica.name()).count(), 1);

    // Changes of slots may be repeated.
    let spare = SlotName::existing("spare");
    for _ in 0..2 {
        primary.adjust(Adjustment::CreateSlot(spare.clone())).await;
    }
    primary
        .run("select pg_switch_wal(); create table more()")
        .await;
    let to = primary.server.observe().await.live.known().unwrap().flushed;
    let slot = spare.clone();
    primary.adjust(Adjustment::AdvanceSlot { slot, to }).await;
    let seen = primary.server.observe().await;
    assert_eq!(seen.live.known().unwrap().slots["spare"].restart, Some(to));
    for _ in 0..2 {
        primary.adjust(Adjustment::DropSlot(spare.clone())).await;
    }
    let busy = Adjustment::DropSlot(SlotName::existing("b"));
    assert!(
        primary.server.adjust(&busy).await.is_err(),
        "an active slot stays"
    );
}

#[tokio::test]
async fn a_start_that_is_called_off_leaves_no_server_under_a_copy() {
    let bed = Bed::new();
    let primary = bed.primary("a").await;
    let slow = bed.path().join("slow-postgres");
    let postgres = bin_dir().join("postgres");
    let marks = bed.path().join("marks");
    std::fs::create_dir(&marks).unwrap();
    let mode = std::fs::Permissions::from_mode;
    std::fs::set_permissions(&marks, mode(0o777)).unwrap();
    // The pid file comes late, as on a busy machine.
    let script = format!("#!/bin/sh\ntouch {marks}/launched\nsleep 0.1\nexec {postgres} \"$@\"\n");
    std::fs::write(&slow, script).unwrap();
    std::fs::set_permissions(&slow, mode(0o755)).unwrap();
    let replica = bed.member_with("b", |settings| {
        settings.fixed.place.bin_name.postgres = slow.to_string();
    });
    replica.join(&primary).await;
    replica.stop_fast().await;

    let upstream = Some(primary.upstream_of(&replica));
    let start = Work::Start {
        start_as: StartAs::Replica { upstream },
        timeout: PATIENCE,
    };
    let progress = Progress::default();
    let mark = marks.join("launched");
    std::fs::remove_file(&mark).unwrap();
    let launched = async {
        while !mark.exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        ended = replica.server.carry_out(&start, &progress) => panic!("it ended: {ended:?}"),
        () = launched => {}
    }
    replica.stop_fast().await;
    let source = primary.upstream_of(&replica);
    let basebackup_only = true;
    replica
        .carry_out(Work::Clone {
            source,
            basebackup_only,
        })
        .await
        .unwrap();
    // What was started would hold the port.
    replica.stream_from(&primary).await;
}

#[tokio::test]
async fn the_old_directory_stays_until_the_new_copy_streams() {
    let bed = Bed::new();
    let primary = bed.primary("a").await;
    let member = bed.primary("b").await;
    member.run("create table precious()").await;
    let stop = Work::Stop {
        mode: pgherd_domain::StopMode::Fast,
        escalate_at: None,
    };
    member.carry_out(stop).await.unwrap();
    let old_id = member
        .server
        .observe()
        .await
        .control()
        .unwrap()
        .system_id
        .clone();

    // A source that is not there: nothing changes.
    let source = Upstream {
        port: 1,
        ..primary.upstream_of(&member)
    };
    let error = member
        .carry_out(Work::Clone {
            source,
            basebackup_only: false,
        })
        .await
        .unwrap_err();
    assert!(error.to_string().contains("Connection refused"), "{error}");
    let seen = member.server.observe().await;
    assert_eq!(seen.control().unwrap().system_id, old_id);
    assert!(!bed.path().join("b/data.new").exists());

    let source = primary.upstream_of(&member);
    member
        .carry_out(Work::Clone {
            source,
            basebackup_only: false,
        })
        .await
        .unwrap();
    let old = bed.path().join("b/data.old");
    assert!(old.join("PG_VERSION").exists());
    assert!(!member.server.observe().await.is_running());
    member.stream_from(&primary).await;
    member.adjust(Adjustment::ForgetOldDirectory).await;
    assert!(!old.exists());
    let seen = member.server.observe().await;
    assert_ne!(seen.control().unwrap().system_id, old_id);
}

#[tokio::test]
async fn an_interrupted_copy_is_begun_again_and_keeps_to_its_rate() {
    let bed = Bed::new();
    let primary = bed.primary("a").await;
    let replica = bed.member_with("b", |settings| {
        let options = &mut settings.changing.postgresql.basebackup;
        options.push(crate::bed::option("max-rate", Some("8M")));
    });
    let source = primary.upstream_of(&replica);
    let work = Work::Clone {
        source,
        basebackup_only: false,
    };
    let fresh = bed.path().join("b/data.new");
    {
        let progress = Progress::default();
        let copying = replica.server.carry_out(&work, &progress);
        let begun = async {
            while !fresh.join("backup_label").exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            done = copying => panic!("it was done before it could be interrupted: {done:?}"),
            () = begun => {}
        }
    }
    assert!(fresh.exists() && !replica.data_dir().join("PG_VERSION").exists());

    let next = replica.with_new_agent();
    let began = tokio::time::Instant::now();
    next.carry_out(work).await.unwrap();
    // More than 20 MB of an empty cluster, 8 MB a second.
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1500), "{took:?}");
    next.stream_from(&primary).await;
    assert!(!fresh.exists());
}

#[tokio::test]
async fn a_method_that_fails_makes_room_for_the_next() {
    let bed = Bed::new();
    let primary = bed.primary("a").await;
    let replica = bed.member_with("b", |settings| {
        let script = ReplicaMethod {
            name: "restore".into(),
            command: "/bin/sh -c 'echo \"$@\" >&2; exit 3' restore".into(),
            params: [("kind".to_owned(), "full".to_owned())].into(),
            ..ReplicaMethod::basebackup()
        };
        settings.changing.postgresql.create_replica_methods =
            vec![script, ReplicaMethod::basebackup()];
    });
    replica.join(&primary).await;

    // Without the second method the failure is told with what the script said.
    let other = bed.member_with("c", |settings| {
        let mut script = ReplicaMethod::basebackup();
        script.name = "restore".into();
        script.command = "/bin/sh -c 'echo \"$@\" >&2; exit 3' restore".into();
        settings.changing.postgresql.create_replica_methods = vec![script];
    });
    let source = primary.upstream_of(&other);
    let error = other
        .carry_out(Work::Clone {
            source,
            basebackup_only: false,
        })
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("--role=replica")
            && text.contains("--scope=herd")
            && text.contains("exited with code=3"),
        "{text}"
    );
    assert!(
        !text.contains("pass:word"),
        "no password on a command line: {text}"
    );
    assert_eq!(other.server.observe().await.data, DataDirectory::Empty);
}

/// A script that copies `of` into the directory that it is told, and writes down with what it was called.
fn copy_script(bed: &Bed, of: &crate::bed::Member) -> String {
    let script = bed.path().join("copy.sh");
    let text = format!(
        "#!/bin/sh\necho \"$*\" >>{book}\nfor word; do case $word in --datadir=*) dir=${{word#*=}};; esac; done\n\
         test -n \"$dir\" || dir=$1\nmkdir -p $dir && chmod 700 $dir\n\
         cp -a {data}/. $dir/ && rm -f $dir/postmaster.* $dir/standby.signal\n",
        book = bed.path().join("book"),
        data = of.data_dir(),
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let book = bed.path().join("book");
    std::fs::write(&book, "").unwrap();
    std::fs::set_permissions(&book, std::fs::Permissions::from_mode(0o666)).unwrap();
    script.to_string()
}

#[tokio::test]
async fn a_method_is_called_as_its_section_says() {
    let bed = Bed::new();
    let primary = bed.primary("a").await;
    let stop = Work::Stop {
        mode: pgherd_domain::StopMode::Fast,
        escalate_at: None,
    };
    primary.carry_out(stop).await.unwrap();
    let script = copy_script(&bed, &primary);
    let called = |change: &dyn Fn(&mut ReplicaMethod)| {
        let mut method = ReplicaMethod {
            name: "mine".into(),
            command: script.clone(),
            params: [("kind".to_owned(), "full".to_owned())].into(),
            ..ReplicaMethod::basebackup()
        };
        change(&mut method);
        method
    };
    let book = || std::fs::read_to_string(bed.path().join("book")).unwrap();

    // Nobody to copy from: only a method that says that it needs nobody.
    let alone = bed.member_with("b", |settings| {
        let methods = &mut settings.changing.postgresql.create_replica_methods;
        *methods = vec![
            called(&|method| method.name = "needs a leader".into()),
            called(&|method| method.no_leader = true),
        ];
    });
    alone.carry_out(Work::Restore).await.unwrap();
    let told = book();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(
        told.starts_with("--kind=full --scope=herd --role=replica --datadir="),
        "{told}"
    );
    assert!(told.trim_end().ends_with("--connstring="), "{told}");
    let DataDirectory::Cluster(_) = alone.server.observe().await.data else {
        panic!("nothing was restored");
    };
    assert!(alone.data_dir().join("standby.signal").exists());

    // What is there is kept for a method that wants it, also when it fails.
    let keeps = bed.member_with("c", |settings| {
        let data = settings.fixed.place.data_dir.clone();
        let methods = &mut settings.changing.postgresql.create_replica_methods;
        *methods = vec![called(&|method| {
            (method.keep_data, method.no_params) = (true, true);
            method.command = format!("sh -c 'test -e {data}/precious && exit 4'");
            method.params.clear();
        })];
    });
    std::fs::create_dir_all(keeps.data_dir()).unwrap();
    std::fs::write(keeps.data_dir().join("precious"), "").unwrap();
    let source = primary.upstream_of(&keeps);
    let work = Work::Clone {
        source,
        basebackup_only: false,
    };
    let error = keeps.carry_out(work).await.unwrap_err().to_string();
    assert!(error.contains("exited with code=4"), "{error}");
    assert!(keeps.data_dir().join("precious").exists());
}

#[tokio::test]
async fn a_copy_of_the_leader_on_order_is_a_base_backup() {
    let bed = Bed::new();
    let primary = bed.primary("a").await;
    let replica = bed.member_with("b", |settings| {
        let mut script = ReplicaMethod::basebackup();
        (script.name, script.command) = ("mine".into(), "false".into());
        settings.changing.postgresql.create_replica_methods = vec![script];
    });
    let source = primary.upstream_of(&replica);
    let by_method = Work::Clone {
        source: source.clone(),
        basebackup_only: false,
    };
    replica.carry_out(by_method).await.unwrap_err();
    let work = Work::Clone {
        source,
        basebackup_only: true,
    };
    replica.carry_out(work).await.unwrap();
    replica.stream_from(&primary).await;
}
