//! `docs/reference/settings.md` says what the table of keys says. `UPDATE=1 cargo test` writes it anew.

use pgherd_settings::keys::{self, Key, Kind, Origin, Scope};

const PAGE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../docs/reference/settings.md"
);

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
zero. Sizes: with `B kB MB GB TB`, bytes without. Times: with `us ms s min h d`, seconds without. Bare `on`, `off`,
`yes` and `no` are booleans, as in YAML 1.1.

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

## Keys

*as* says whose word a key is: **Patroni**'s, doing the same here; Patroni's but **accepted** without effect in this
version; or **ours**. In a key, `*` is any one name.
";

#[test]
fn the_page_says_what_the_table_says() {
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(std::path::Path::new(PAGE).parent().unwrap()).unwrap();
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    let differs = page
        .lines()
        .zip(written.lines())
        .find(|(new, old)| new != old);
    assert_eq!(
        differs, None,
        "run `UPDATE=1 cargo test -p pgherd-settings`"
    );
    assert_eq!(page.lines().count(), written.lines().count());
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

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
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
    let whose = match key.origin {
        Origin::Patroni => "Patroni",
        Origin::Accepted => "accepted",
        Origin::Ours => "ours",
    };
    let default = match key.default {
        "" => String::new(),
        default => format!("`{default}`"),
    };
    let kind = kind(key.kind);
    let Key { path, meaning, .. } = key;
    format!("| `{path}` | {place} | {kind} | {default} | {meaning} | {whose} |\n")
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Section => "section".to_owned(),
        Kind::Flag => "boolean".to_owned(),
        Kind::Whole(..) => "integer".to_owned(),
        Kind::Bytes(_) => "size".to_owned(),
        Kind::Seconds(_) => "time".to_owned(),
        Kind::FileMode => "file mode".to_owned(),
        Kind::Text => "text".to_owned(),
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
