//! `docs/reference/settings.md` and `environment.md` say what the table of keys says. `UPDATE=1 cargo test` writes
//! them anew.

use pgherd_settings::keys::{self, Key, Kind, Origin, Scope};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/reference");

const INTRODUCTION: &str = "\
# Settings

This page is written from the table of keys in `crates/pure/settings`; `UPDATE=1 cargo test -p pgherd-settings`
writes it anew.

## Where a setting is given

`defaults < dynamic (/config in the DCS) < local YAML < PATRONI_* environment`. Each key has an effect in the
layers named under *where*:

- **local**: in the member's own file (or directory of `*.yml` files, each patched over the one before; `null`
  removes a key), and in its environment variable where Patroni has one.
- **dynamic**: in `/config` in the DCS, which all members share. `bootstrap.dcs` makes the first one; later
  `patronictl edit-config` changes it.
- **both**: the local value wins and replaces the dynamic one as a whole; `postgresql.parameters` are merged name
  by name.

All faults of a file are told at once, with file and line, and the agent does not start. An unknown key, or one
that has no effect where it stands, is a warning. In `/config` a value that does not fit is a warning, and its
default is used.

## Values

Booleans: `on true yes 1 off false no 0`, in any case. Integers: decimal, `0x` hexadecimal, octal with a leading
zero. Sizes: with `B kB MB GB TB`, bytes without. Times: with `us ms s min h d`, seconds without.

Without quotes a value is what YAML 1.1 makes of it, as with Patroni: `on`, `off`, `yes` and `no` are booleans, `0640` is
octal (416), `1_000` is 1000, `1:30` is 90, and `1e3` is a text. A password of digits belongs in quotes.

## Times

`loop_wait + 2 * retry_timeout <= ttl`. Values below their minimum (ttl 20, loop_wait 1, retry_timeout 3) are raised;
then `loop_wait`, and if need be `retry_timeout`, are lowered until the rule holds. With `pgherd.allow_short_ttl` the
minima are 3, 1 and 1. Never use it where a member is Patroni.

## Controlled parameters

These PostgreSQL parameters must be the same on all members, so they count from `postgresql.parameters` of `/config`
only; a value that does not pass falls to its default.

| parameter | default | accepted |
|---|---|---|
| `listen_addresses`, `port` | from `postgresql.listen` | |
| `cluster_name` | `scope` | |
| `hot_standby` | on | on |
| `wal_level` | replica | replica, hot_standby (the same), logical |
| `wal_log_hints` | on | a boolean |
| `track_commit_timestamp` | off | a boolean |
| `max_connections` | 100 | 25 or more |
| `max_wal_senders` | 10 | 3 or more |
| `max_replication_slots` | 10 | 4 or more |
| `max_prepared_transactions` | 0 | 0 or more |
| `max_locks_per_transaction` | 64 | 32 or more |
| `max_worker_processes` | 8 | 2 or more |
| `wal_keep_size` (`wal_keep_segments` before 13) | 128MB (8) | 16MB (1) or more |

## Where a value means something else than with Patroni

Patroni 4.1.5 was asked about some hundred values (`crates/pure/settings/tests/patroni/rows.txt`, a test), and pgherd makes of
them what Patroni makes, but for this:

DIFFERENCES
## Keys

*as* says whose word a key is: **Patroni**'s, doing the same here; Patroni's but **accepted** without effect in this
version; or **ours** (or of another Patroni than 4.1): where a member is Patroni 4.1, it has no effect there. In a key,
`*` is any one name.
";

const OF_THE_ENVIRONMENT: &str = "\
# Environment variables

This page is written from the table of keys in `crates/pure/settings`; `UPDATE=1 cargo test -p pgherd-settings`
writes it anew.

Variables are patched over the local file; an empty one counts as not set. They are read once, at the start: SIGHUP does
not read them again. Without a file, or when the one that is named is not there, `PATRONI_CONFIGURATION` is the file
(YAML) and no other variable counts; without either, the variables alone are the configuration.

A list is YAML (`- a` lines or `[a, b]`) or bare texts with commas; a mapping of names is YAML, with or without braces.
A value that does not fit is told with the variable's name, and the agent does not start.

Old names count while the new one is not set: `PATRONI_LOGLEVEL` (`PATRONI_LOG_LEVEL`), `PATRONI_LOGFORMAT`
(`PATRONI_LOG_FORMAT`), `PATRONI_LOG_DATEFMT` (`PATRONI_LOG_DATEFORMAT`). Variables of the DCS that this version does not
know (`PATRONI_RAFT_*`), and those of a second DCS where a file names the
first, are left alone with a warning.

The command line reads the same variables, and `PATRONICTL_CONFIG_FILE`, `DCS_URL`, `LOGLEVEL`, `EDITOR`, `PAGER` and
`NO_COLOR` ([commands](ctl.md)). PostgreSQL sees none of `PATRONI_*` and `KUBERNETES_*`; callbacks do.

*as* says whose word a variable is, as in [settings](settings.md).

| variable | key | kind | as |
|---|---|---|---|
";

#[test]
fn the_pages_say_what_the_table_says() {
    says("settings.md", &page());
    says("environment.md", &environment());
}

fn says(name: &str, page: &str) {
    let path = format!("{FOLDER}/{name}");
    if std::env::var_os("UPDATE").is_some() {
        let wrote = std::fs::create_dir_all(FOLDER).and_then(|()| std::fs::write(&path, page));
        assert!(wrote.is_ok(), "{path}: {wrote:?}");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = page
        .lines()
        .zip(written.lines())
        .find(|(new, old)| new != old);
    assert_eq!(
        differs, None,
        "{name}: run `UPDATE=1 cargo test -p pgherd-settings`"
    );
    assert_eq!(page.lines().count(), written.lines().count(), "{name}");
}

fn environment() -> String {
    let mut page = OF_THE_ENVIRONMENT.to_owned();
    for (variable, key) in pgherd_settings::variables() {
        let (kind, whose) = (kind(key.kind), whose(key.origin));
        page.push_str(&format!(
            "| `{variable}` | `{}` | {kind} | {whose} |\n",
            key.path
        ));
    }
    page
}

#[test]
fn every_default_fits_its_kind_in_words_people_can_copy() {
    for key in keys::all().filter(|key| !key.default.is_empty()) {
        assert!(!key.default.contains('|'), "{}", key.path);
        let more = format!("{}: '{}'\n", key.path.replace('.', ": {"), key.default);
        let closed = more.trim_end().to_owned() + &"}".repeat(key.path.matches('.').count());
        let document = pgherd_settings::read_yaml(&closed).unwrap();
        if key.scope != Scope::Local {
            assert_eq!(
                pgherd_settings::validate_dynamic(&document),
                Ok(Vec::new()),
                "{closed}"
            );
        }
    }
}

/// The reasons of those rows that are not what Patroni makes of them.
fn differences() -> String {
    let rows = include_str!("patroni/rows.txt").lines();
    let reasons = rows.filter_map(|row| Some(row.strip_prefix("why ")?.split_once(": ")?.1));
    reasons.map(|reason| format!("- {reason}\n")).collect()
}

fn page() -> String {
    let mut page = INTRODUCTION.replace("DIFFERENCES\n", &format!("{}\n", differences()));
    let mut section = None;
    for key in keys::all() {
        let of = key
            .path
            .split('.')
            .next()
            .filter(|top| keys::all().any(|other| other.path.starts_with(&format!("{top}."))));
        if section != Some(of) {
            section = Some(of);
            let title = of.map_or("Top level".to_owned(), |top| format!("`{top}`"));
            page.push_str(&format!(
                "\n### {title}\n\n| key | where | kind | default | meaning | as |\n"
            ));
            page.push_str("|---|---|---|---|---|---|\n");
        }
        page.push_str(&row(key));
    }
    page
}

fn row(key: &Key) -> String {
    let place = match key.scope {
        Scope::Local => "local",
        Scope::Dynamic => "dynamic",
        Scope::Both => "both",
    };
    let whose = whose(key.origin);
    let default = match key.default {
        "" => String::new(),
        default => format!("`{default}`"),
    };
    let kind = kind(key.kind);
    let Key { path, meaning, .. } = key;
    format!("| `{path}` | {place} | {kind} | {default} | {meaning} | {whose} |\n")
}

const fn whose(origin: Origin) -> &'static str {
    match origin {
        Origin::Patroni => "Patroni",
        Origin::Accepted => "accepted",
        Origin::Ours => "ours",
    }
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Section => "section".to_owned(),
        Kind::Flag => "boolean".to_owned(),
        Kind::Whole(..) => "integer".to_owned(),
        Kind::Bytes(_) => "size".to_owned(),
        Kind::Seconds(_) => "time".to_owned(),
        Kind::SecondsOrNever(_) => "time, or never".to_owned(),
        Kind::FileMode => "file mode".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Ports => "port or ports".to_owned(),
        Kind::Secret => "secret".to_owned(),
        Kind::Choice(words) => format!("one of {}", words.join(", ")),
        Kind::List => "list".to_owned(),
        Kind::Lines => "lines".to_owned(),
        Kind::Texts => "names and values".to_owned(),
        Kind::Options => "options".to_owned(),
        Kind::Mapping => "mapping".to_owned(),
        Kind::Any => "any".to_owned(),
    }
}
