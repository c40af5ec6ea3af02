//! Recovery settings: what makes a server follow another (contract §3.5).

use std::collections::BTreeMap;

use camino::Utf8Path;
use pgherd_domain::Upstream;
use pgherd_settings::{Settings, StandbyCluster};

use crate::{RoleSection, Target, conninfo};

/// Every recovery setting of PostgreSQL 13 to 18.
pub const RECOVERY_NAMES: [&str; 15] = [
    "archive_cleanup_command",
    "primary_conninfo",
    "primary_slot_name",
    "promote_trigger_file",
    "recovery_end_command",
    "recovery_min_apply_delay",
    "recovery_target",
    "recovery_target_action",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
    "restore_command",
];

/// The five of which at most one may be set; blanked, so that none of another file counts.
const TARGETS: [&str; 5] = [
    "recovery_target",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_xid",
];

/// Whether `name` is a recovery setting.
pub fn is_recovery_setting(name: &str) -> bool {
    RECOVERY_NAMES
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

/// What a follower needs to know besides the settings.
#[derive(Debug, Clone, Copy)]
pub struct Streaming<'a> {
    /// The server to stream from; `None`: only what an archive gives.
    pub upstream: Option<&'a Upstream>,
    /// As what the follower runs.
    pub role: RoleSection,
    /// The password file that the WAL receiver reads.
    pub passfile: &'a Utf8Path,
    /// Major version of the server.
    pub major: u32,
}

/// The recovery settings of a follower.
pub fn recovery_settings(
    settings: &Settings,
    streaming: &Streaming<'_>,
) -> BTreeMap<String, String> {
    let pg = &settings.changing.postgresql;
    let mut lines: BTreeMap<String, String> = pg
        .recovery_conf
        .iter()
        .filter(|(name, _)| is_followers_own(name, streaming.major))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let remote = settings.changing.cluster.standby_cluster.as_ref();
    if let Some(remote) = remote {
        inherit(&mut lines, remote, streaming.role);
    }
    for name in TARGETS {
        lines.insert(name.to_owned(), String::new());
    }
    lines.insert("recovery_target_timeline".to_owned(), "latest".to_owned());
    if let Some(upstream) = streaming.upstream {
        lines.insert(
            "primary_conninfo".to_owned(),
            primary_conninfo(settings, streaming, upstream),
        );
        if let Some(slot) = &upstream.slot {
            lines.insert("primary_slot_name".to_owned(), slot.to_string());
        }
    }
    lines
}

fn primary_conninfo(settings: &Settings, streaming: &Streaming<'_>, upstream: &Upstream) -> String {
    // The leader of a standby cluster streams from a stranger, which may be one of several hosts.
    let remote = upstream.name.is_none() && settings.changing.cluster.standby_cluster.is_some();
    let session = (remote && upstream.slot.is_some()).then_some("read-write");
    let ports = upstream.ports();
    let target = Target {
        login: &settings.changing.postgresql.authentication.replication,
        host: &upstream.host,
        port: &ports,
        database: &settings.fixed.place.database,
        passfile: Some(streaming.passfile),
        krbsrvname: settings.fixed.place.krbsrvname.as_deref(),
        major: streaming.major,
    };
    conninfo(&target, Some(settings.fixed.name.as_str()), session).to_string()
}

fn is_followers_own(name: &str, major: u32) -> bool {
    let ignored = name.starts_with("recovery_target")
        || matches!(name, "primary_conninfo" | "primary_slot_name")
        || (name == "promote_trigger_file" && major >= 16);
    is_recovery_setting(name) && !ignored
}

fn inherit(lines: &mut BTreeMap<String, String>, remote: &StandbyCluster, role: RoleSection) {
    let delay = match role {
        RoleSection::StandbyLeader => &remote.recovery_min_apply_delay,
        RoleSection::Primary | RoleSection::Replica => &None,
    };
    for (name, value) in [
        ("restore_command", &remote.restore_command),
        ("archive_cleanup_command", &remote.archive_cleanup_command),
        ("recovery_min_apply_delay", delay),
    ] {
        if let Some(value) = value {
            lines.insert(name.to_owned(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use pgherd_domain::{MemberName, SlotName};

    use super::*;
    use crate::parameters::samples::settings;

    fn upstream(name: Option<&str>) -> Upstream {
        Upstream {
            name: name.map(|name| MemberName::new(name).unwrap()),
            host: "10.0.0.2".into(),
            port: 5432,
            more_ports: Vec::new(),
            slot: Some(SlotName::existing("pg1")),
        }
    }

    fn streaming(upstream: Option<&Upstream>, role: RoleSection) -> Streaming<'_> {
        Streaming {
            upstream,
            role,
            passfile: Utf8Path::new("/tmp/pgpass"),
            major: 15,
        }
    }

    #[test]
    fn a_follower_streams_through_its_slot_on_the_latest_timeline() {
        let mut settings = settings();
        let conf = &mut settings.changing.postgresql.recovery_conf;
        conf.insert("restore_command".into(), "cp /wal/%f %p".into());
        conf.insert("recovery_target_time".into(), "2026-01-01".into());
        conf.insert("primary_conninfo".into(), "host=other".into());
        let upstream = upstream(Some("pg2"));
        let lines = recovery_settings(&settings, &streaming(Some(&upstream), RoleSection::Replica));
        assert_eq!(lines["recovery_target_timeline"], "latest");
        assert_eq!(lines["recovery_target_time"], "", "blanked");
        assert_eq!(lines["primary_slot_name"], "pg1");
        assert_eq!(lines["restore_command"], "cp /wal/%f %p");
        let conninfo = &lines["primary_conninfo"];
        assert!(
            conninfo.contains("host=10.0.0.2 port=5432")
                && conninfo.contains("application_name=pg1")
                && !conninfo.contains("target_session_attrs"),
            "{conninfo}"
        );
    }

    #[test]
    fn without_an_upstream_only_the_archive_is_named() {
        let lines = recovery_settings(&settings(), &streaming(None, RoleSection::Replica));
        assert!(!lines.contains_key("primary_conninfo"));
        assert!(!lines.contains_key("primary_slot_name"));
        assert_eq!(lines.len(), 6);
    }

    #[test]
    fn the_leader_of_a_standby_cluster_delays_and_wants_a_primary() {
        let mut settings = settings();
        settings.changing.cluster.standby_cluster = Some(StandbyCluster {
            host: Some("a,b".into()),
            restore_command: Some("fetch %f %p".into()),
            recovery_min_apply_delay: Some("1h".into()),
            ..StandbyCluster::default()
        });
        let remote = upstream(None);
        let leader = recovery_settings(
            &settings,
            &streaming(Some(&remote), RoleSection::StandbyLeader),
        );
        assert_eq!(leader["recovery_min_apply_delay"], "1h");
        assert!(leader["primary_conninfo"].contains("target_session_attrs=read-write"));
        let several = Upstream::elsewhere("a,b", "5432,5433", None);
        let lists = recovery_settings(
            &settings,
            &streaming(Some(&several), RoleSection::StandbyLeader),
        );
        assert!(lists["primary_conninfo"].contains("host=a,b port=5432,5433"));
        let inner = upstream(Some("pg2"));
        let replica = recovery_settings(&settings, &streaming(Some(&inner), RoleSection::Replica));
        assert!(!replica.contains_key("recovery_min_apply_delay"));
        assert_eq!(replica["restore_command"], "fetch %f %p");
    }
}
