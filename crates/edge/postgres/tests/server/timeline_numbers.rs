//! A promotion that leaves numbers of timelines to somebody else.

use std::os::unix::fs::PermissionsExt as _;

use pgherd_domain::{Adjustment, StartAs, Work, WorkError};
use pgherd_ports::LocalPostgres as _;

use crate::bed::{Bed, Member, PATIENCE, in_an_hour};

const ROWS: &str = "select string_agg(who, ',' order by who) from rows";

fn promotion() -> Work {
    Work::Promote {
        valid_until: in_an_hour(),
        skip_timelines: 3,
    }
}

/// History files in `pg_wal` of a member, by the last digit of their number.
fn histories(of: &Member) -> String {
    let mut numbers: Vec<String> = std::fs::read_dir(of.data_dir().join("pg_wal"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".history")?.get(7..)?.to_owned()))
        .collect();
    numbers.sort();
    numbers.concat()
}

#[tokio::test]
async fn two_servers_promoted_at_one_position_are_told_apart_and_one_is_wound_back_to_the_other() {
    let bed = Bed::new();
    let archive = bed.path().join("archive");
    std::fs::create_dir(&archive).unwrap();
    std::fs::set_permissions(&archive, std::fs::Permissions::from_mode(0o777)).unwrap();
    let old = bed.primary("a").await;
    let rival = bed.member("b");
    let new = bed.member_with("c", |settings| {
        let pg = &mut settings.changing.postgresql;
        let mut set = |name: &str, value: String| pg.parameters.insert(name.into(), value);
        set("archive_mode", "on".into());
        set("archive_command", format!("cp %p {archive}/%f"));
    });
    let behind = bed.member("d");
    for replica in [&rival, &new, &behind] {
        replica.join(&old).await;
    }
    old.run("create table rows as select 'old' as who").await;
    for replica in [&rival, &new, &behind] {
        replica.has(ROWS, "old").await;
    }
    old.server.fence().await;
    rival.promote().await;
    rival.run("insert into rows values ('rival')").await;
    new.carry_out(promotion()).await.unwrap();
    new.run("insert into rows values ('new')").await;
    let seen = new.server.observe().await;
    let live = seen.live.known().unwrap();
    assert_eq!((live.timeline.0, live.history.switches.len()), (5, 1));
    assert_eq!(
        (histories(&rival), histories(&new)),
        ("2".into(), "2345".into())
    );

    let upstream = Some(new.upstream_of(&behind));
    let slot = upstream.clone().unwrap().slot.unwrap();
    new.adjust(Adjustment::CreateSlot(slot)).await;
    behind.adjust(Adjustment::Follow { upstream }).await;
    behind.has(ROWS, "new,old").await;
    assert_eq!(histories(&behind), "2345");
    behind.stop_fast().await;
    behind.stream_from(&new).await;

    rival.stop_fast().await;
    let source = new.upstream_of(&rival);
    rival.carry_out(Work::Rewind { source }).await.unwrap();
    rival.stream_from(&new).await;
    rival.has(ROWS, "new,old").await;

    // Who restores looks for the newest timeline by asking the archive for one number after the other.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let archived = |number: u32| archive.join(format!("{number:08X}.history")).exists();
    while !(2..=5).all(archived) {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not all are archived"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn numbers_that_no_timeline_followed_keep_no_standby_from_starting() {
    let bed = Bed::new();
    let primary = bed.primary("a").await;
    let standby = bed.member("b");
    standby.join(&primary).await;
    // As a walreceiver leaves them that was stopped on its way to the timeline's own file.
    for number in 2..=4 {
        let file = standby
            .data_dir()
            .join(format!("pg_wal/{number:08X}.history"));
        std::fs::write(file, "# pgherd: no timeline bears this number\n").unwrap();
    }
    standby.stop_fast().await;
    standby.stream_from(&primary).await;
    assert_eq!(histories(&standby), "");

    let late = Work::Promote {
        valid_until: pgherd_domain::Moment::from_millis(1),
        skip_timelines: 3,
    };
    assert_eq!(standby.carry_out(late).await, Err(WorkError::LeaseEnded));
    assert_eq!(histories(&standby), "", "it is not promoted");
    standby.stop_fast().await;
    let upstream = Some(primary.upstream_of(&standby));
    standby.start(StartAs::Replica { upstream }).await.unwrap();
}
