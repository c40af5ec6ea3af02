//! What an operator can do about a reason.

/// What would have to change for this reason to go. Reasons come as text from the members, so they are known
/// by their beginning; the tests hold this table and the texts of `Veto` together.
pub fn remedy(reason: &str) -> &'static str {
    let starts = |beginning: &str| reason.starts_with(beginning);
    if starts("tagged nofailover") {
        "remove the tag nofailover (or failover_priority 0) from its settings, then `pgherd reload` it"
    } else if starts("has no data") {
        "let its copy finish; without one, look into its log or run `pgherd reinit`"
    } else if starts("PostgreSQL does not run") {
        "start it: look into its log why it stopped; in pause start it with `pgherd restart`"
    } else if starts("PostgreSQL does not answer") {
        "look into the log of its PostgreSQL and at the load of its host"
    } else if starts("PostgreSQL is starting") {
        "wait until it has started"
    } else if starts("busy:") {
        "wait until that is done"
    } else if starts("the cluster is paused") {
        "`pgherd resume`, or name it: `pgherd failover --candidate`"
    } else if starts("lag ") {
        "let it catch up; look at its replication and its disk, or raise maximum_lag_on_failover"
    } else if starts("on timeline ") {
        "let it follow the leader's timeline; if it can not, run `pgherd reinit`"
    } else if starts("its data directory belongs to another cluster") {
        "it can not become a member as it is: move its data directory away, then it is copied anew"
    } else if starts("not in /sync") {
        "let it catch up and be chosen as a synchronous standby, or raise synchronous_node_count"
    } else if starts("not in /failsafe") {
        "wait until the leader lists it; with no leader start a listed member, or, when the servers of all listed \
         ones are off for certain, `pgherd edit-config -s failsafe_mode=false`"
    } else if starts("promised ") {
        "nothing, while the leader it promised still serves; it ends ttl after that leader was last heard"
    } else if starts("no fence guards it") {
        "look into its log for `fence`: the program, the place of its file and the account must allow one"
    } else if starts("its watchdog is not usable") {
        "make watchdog.device writable for its agent (docs/operate/watchdog.md), or set watchdog.mode to automatic"
    } else if reason.contains(" is ahead by ") {
        "nothing, while the member that is ahead can take over"
    } else if reason.contains(" has failover_priority ") {
        "raise its failover_priority, if it should be preferred"
    } else if reason.contains(" still runs as a primary") {
        "stop the primary that still runs, or give it the leader key back"
    } else if starts("the operator named ") {
        "clear the order: `pgherd flush CLUSTER switchover`"
    } else if starts("the operator asked it to step down") {
        "wait until another member has taken over"
    } else if starts("its pre_promote script failed") {
        "see in its log why pre_promote failed; it is tried again after ttl"
    } else if starts("the other members have not all answered yet") {
        "wait for their answers; look at the REST APIs of those that do not answer"
    } else if starts("its WAL position is not known") {
        "look into its log why PostgreSQL does not tell its position"
    } else if starts("the leader key holds what is no member's name") {
        "delete the key: `etcdctl del /NAMESPACE/SCOPE/leader`, `consul kv delete NAMESPACE/SCOPE/leader`, or `kubectl annotate configmap SCOPE-leader leader-`; the members then race for it"
    } else if starts("WAL still arrives") {
        "wait until nothing arrives any more (primary_race_backoff)"
    } else {
        "look into its log"
    }
}
