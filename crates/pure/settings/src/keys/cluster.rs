//! Keys of the whole cluster: `/config`, and `bootstrap.dcs` that it is made from.

use super::Kind::{Any, Bytes, Choice, Flag, List, Mapping, Seconds, Section, Text, Whole};
use super::{Key, dynamic};

const U32_MAX: i64 = 4_294_967_295;
const SYNC_MODES: &[&str] = &[
    "off", "on", "quorum", "false", "true", "no", "yes", "0", "1",
];

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    dynamic("ttl", Seconds(0), "30", "how long the leader's lease lives without renewal; at least 20"),
    dynamic("loop_wait", Seconds(0), "10", "the longest sleep between two turns; at least 1"),
    dynamic("retry_timeout", Seconds(0), "10", "deadline of operations on the DCS and PostgreSQL; at least 3"),
    dynamic("maximum_lag_on_failover", Bytes(0), "1048576", "a replica further behind may not race"),
    dynamic("maximum_lag_on_syncnode", Bytes(-1), "-1", "a synchronous standby further behind is replaced; 0 or less = never"),
    dynamic("check_timeline", Flag, "off", "a candidate must be on the newest known timeline"),
    dynamic("max_timelines_history", Whole(0, U32_MAX), "0", "entries kept in `/history`; 0 = all"),
    dynamic("primary_start_timeout", Seconds(0), "300", "time a starting primary may take before failover; 0 = at once when possible"),
    dynamic("master_start_timeout", Seconds(0), "300", "old name of `primary_start_timeout`"),
    dynamic("primary_stop_timeout", Seconds(0), "0", "in synchronous mode, time before a slow stop of a primary becomes an immediate one, after which a synchronous standby takes over; 0 = never"),
    dynamic("master_stop_timeout", Seconds(0), "0", "old name of `primary_stop_timeout`"),
    dynamic("primary_race_backoff", Seconds(0), "0", "replicas postpone the race that long while WAL still arrives"),
    dynamic("synchronous_mode", Choice(SYNC_MODES), "off", "`on` or `quorum`: commits wait for standbys"),
    dynamic("synchronous_mode_strict", Flag, "off", "without a synchronous standby, writes wait"),
    dynamic("synchronous_node_count", Whole(1, U32_MAX), "1", "how many standbys a commit waits for"),
    dynamic("failsafe_mode", Flag, "off", "the leader stays while the DCS is away, if all members agree"),
    dynamic("pause", Flag, "off", "nothing is done automatically"),
    dynamic("member_slots_ttl", Seconds(0), "30min", "how long the slot of an absent member is kept; 0 = not at all"),
    dynamic("slots", Mapping, "", "permanent slots by name: `type`, `database`, `plugin`, `cluster_type`, `failover`"),
    dynamic("permanent_slots", Mapping, "", "synonym of `slots`, goes before it"),
    dynamic("permanent_replication_slots", Mapping, "", "synonym of `slots`, goes before both"),
    dynamic("ignore_slots", Any, "", "slots never touched: a list of `name`, `type`, `database`, `plugin`"),
    dynamic("standby_cluster", Section, "", "this cluster follows another; active when `host`, `port` or `restore_command` is given"),
    dynamic("standby_cluster.host", Text, "", "host of the other cluster, or several with commas"),
    dynamic("standby_cluster.port", Text, "", "its port, or one for each host, with commas"),
    dynamic("standby_cluster.primary_slot_name", Text, "", "the slot to stream through"),
    dynamic("standby_cluster.create_replica_methods", List, "", "how the first member is made"),
    dynamic("standby_cluster.restore_command", Text, "", "command that fetches WAL from an archive"),
    dynamic("standby_cluster.archive_cleanup_command", Text, "", "command that cleans the archive"),
    dynamic("standby_cluster.recovery_min_apply_delay", Text, "", "delay of replay on the leader"),
];
