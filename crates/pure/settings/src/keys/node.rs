//! Keys of one member: the top level, `pgherd`, `log`, `restapi`, `ctl`, `bootstrap`, `watchdog`, `tags`.

use super::Kind::{
    Any, Bytes, Choice, FileMode, Flag, Lines, List, Mapping, Options, Seconds, SecondsOrNever,
    Secret, Section, Text, Texts, Whole,
};
use super::{Key, both, dynamic, local};

const LEVELS: &[&str] = &[
    "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL",
];
const U32_MAX: i64 = 4_294_967_295;

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    local("name", Text, "", "this member's name, unique in the cluster; required"),
    local("scope", Text, "", "the cluster's name; required"),
    local("namespace", Text, "/service", "prefix of the keys in the DCS"),
    local("thread_pool_size", Whole(5, U32_MAX), "5", "Patroni's threads").accepted(),
    local("thread_stack_size", Bytes(65_536), "512kB", "Patroni's threads").accepted(),
    both("pgherd", Section, "", "what only pgherd knows").ours(),
    both("pgherd.allow_short_ttl", Flag, "off", "honour a ttl from 3, loop_wait and retry_timeout from 1; only where no member is Patroni; either layer is enough").ours(),

    both("pgherd.hook_timeout", Seconds(0), "300", "how long a callback, `pre_promote` or `before_stop` may run before it is killed; 0 = for ever").ours(),
    both("pgherd.slot_budget", Bytes(0), "0", "how much WAL one replication slot may keep before PostgreSQL gives it up: max_slot_wal_keep_size is set from it, and there is a warning from three quarters on; 0 = without a limit").ours(),
    both("pgherd.copy_when_wal_is_gone", Flag, "on", "a standby that needs WAL which the leader has no more, nor an archive, is copied anew by itself; off = it waits for `reinit`").ours(),
    dynamic("pgherd.synchronous_zones", Section, "", "in how many zones a commit must be acknowledged; needs a synchronous mode").ours(),
    dynamic("pgherd.synchronous_zones.label", Text, "zone", "the tag that names a member's zone, such as `zone`, `rack` or `host`").ours(),
    dynamic("pgherd.synchronous_zones.at_least", Whole(1, U32_MAX), "1", "in how many zones, the leader's own counted; 1 = nobody asks for zones").ours(),
    dynamic("pgherd.synchronous_zones.degrade_after", SecondsOrNever(0), "never", "how long commits wait while too few zones have a standby, before they go on with fewer").ours(),

    local("log", Section, "", "the agent's own log"),
    local("log.type", Choice(&["plain", "json"]), "plain", "lines of text, or one JSON object per line"),
    local("log.level", Choice(LEVELS), "INFO", "what is logged"),
    local("log.traceback_level", Choice(&["DEBUG", "ERROR"]), "ERROR", "the level at which stack traces appear"),
    local("log.format", Any, "%(asctime)s %(levelname)s: %(message)s", "the form of a record: a text, or for json a list of fields"),
    local("log.dateformat", Text, "", "`strftime` form of the time"),
    local("log.static_fields", Texts, "", "fields added to each JSON record"),
    local("log.max_queue_size", Whole(1, U32_MAX), "1000", "records that may wait to be written"),
    local("log.dir", Text, "", "directory of `patroni.log`; stderr when not given"),
    local("log.mode", FileMode, "", "mode of the log file; 0666 less the umask when not given"),
    local("log.file_size", Bytes(1), "25000000", "bytes after which the file is rotated"),
    local("log.file_num", Whole(0, U32_MAX), "4", "rotated files that are kept"),
    local("log.loggers", Texts, "", "level per logger name"),
    local("log.deduplicate_heartbeat_logs", Flag, "off", "drop a heartbeat line equal to the one before"),

    local("restapi", Section, "", "the REST server"),
    local("restapi.listen", Text, "", "`host:port` to listen on, `*` for every interface; required"),
    local("restapi.connect_address", Text, "", "`host:port` that others use; required"),
    local("restapi.authentication", Section, "", "what unsafe requests must present"),
    local("restapi.authentication.username", Text, "", "user name"),
    local("restapi.authentication.password", Secret, "", "password"),
    local("restapi.certfile", Text, "", "certificate; turns TLS on"),
    local("restapi.keyfile", Text, "", "key; the certificate file when not given"),
    local("restapi.keyfile_password", Secret, "", "passphrase of the key"),
    local("restapi.cafile", Text, "", "certificates that clients are checked against"),
    local("restapi.ciphers", Text, "", "OpenSSL's cipher list for TLS 1.2, of which the ECDHE suites with AES-GCM and ChaCha20 exist here; TLS 1.3 is always offered"),
    local("restapi.verify_client", Choice(&["none", "optional", "required"]), "none", "whether clients must show a certificate: never, for unsafe requests, always"),
    local("restapi.allowlist", List, "", "hosts, addresses and networks that may send unsafe requests"),
    local("restapi.allowlist_include_members", Flag, "off", "members of the cluster may, too"),
    local("restapi.http_extra_headers", Texts, "", "headers added to each answer"),
    local("restapi.https_extra_headers", Texts, "", "headers added on top under TLS"),
    local("restapi.request_queue_size", Whole(0, 4096), "5", "connections that may wait to be accepted"),
    local("restapi.server_tokens", Choice(&["original", "minimal", "productonly"]), "original", "what the Server header says"),
    local("restapi.thread_pool_size", Whole(5, U32_MAX), "5", "Patroni's threads").accepted(),

    local("ctl", Section, "", "the REST client: patronictl, and the agent calling its peers"),
    local("ctl.insecure", Flag, "off", "do not check the server's certificate"),
    local("ctl.cacert", Text, "", "certificates the server is checked against; `restapi.cafile` when not given"),
    local("ctl.certfile", Text, "", "the client's certificate"),
    local("ctl.keyfile", Text, "", "the client's key"),
    local("ctl.keyfile_password", Secret, "", "passphrase of the client's key"),
    local("ctl.authentication", Section, "", "sent with unsafe requests; `restapi.authentication` when not given"),
    local("ctl.authentication.username", Text, "", "user name"),
    local("ctl.authentication.password", Secret, "", "password"),

    local("bootstrap", Section, "", "how a new cluster is made; used once"),
    local("bootstrap.dcs", Mapping, "", "the first dynamic configuration; later edits have no effect"),
    local("bootstrap.method", Text, "initdb", "`initdb`, or the name of a section of `bootstrap` with a `command`"),
    local("bootstrap.initdb", Options, "", "options of initdb"),
    local("bootstrap.pg_hba", Lines, "", "lines appended to pg_hba.conf"),
    local("bootstrap.post_bootstrap", Text, "", "command run at the end, with a conninfo as its argument"),
    local("bootstrap.post_init", Text, "", "old name of `post_bootstrap`"),
    local("bootstrap.users", Section, "", "roles made once, by name; Patroni dropped them in 4.0").ours(),
    local("bootstrap.users.*", Section, "", "one role").ours(),
    local("bootstrap.users.*.password", Secret, "", "its password").ours(),
    local("bootstrap.users.*.options", List, "", "options of CREATE ROLE, such as `createdb`").ours(),

    local("watchdog", Section, "", "the device that resets a host whose agent hangs"),
    local("watchdog.mode", Choice(&["off", "automatic", "required", "auto", "require", "disable", "disabled", "false"]), "automatic", "never, when it works, or no leader without it"),
    local("watchdog.device", Text, "/dev/watchdog", "path of the device"),
    local("watchdog.safety_margin", Seconds(-1), "5", "how long before the lease's end it fires; -1 = ttl / 2"),
    local("watchdog.driver", Choice(&["default", "testing"]), "default", "`testing` for a fifo in place of a device"),

    local("tags", Section, "", "what the operator says about this member"),
    local("tags.nofailover", Flag, "off", "never races for the leader key"),
    local("tags.failover_priority", Whole(i64::MIN, i64::MAX), "1", "tie-break on equal WAL; 0 or less equals `nofailover`, which wins on conflict"),
    local("tags.nosync", Flag, "off", "never a synchronous standby"),
    local("tags.sync_priority", Whole(i64::MIN, i64::MAX), "1", "preference among synchronous standbys; 0 or less equals `nosync`, which wins on conflict"),
    local("tags.noloadbalance", Flag, "off", "`/replica` answers 503"),
    local("tags.clonefrom", Flag, "off", "preferred source of clones"),
    local("tags.replicatefrom", Text, "", "the member to replicate from instead of the leader"),
    local("tags.nostream", Flag, "off", "replicates from the archive only"),
    local("tags.*", Text, "", "published as it is; usable as `?tag_NAME=VALUE`"),

    local("citus", Section, "", "Citus; not supported by this version"),
    local("citus.database", Text, "", "Citus; not supported by this version").accepted(),
    local("citus.group", Whole(0, U32_MAX), "", "Citus; not supported by this version").accepted(),
];
