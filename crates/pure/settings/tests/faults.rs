//! All faults of a file are told at once, each with its line; oddities are warnings.

#[cfg(test)]
mod support;

use std::collections::BTreeMap;

use pgherd_settings::*;
use serde_json::json;
use support::{GOOD, faults_of, load_text, warnings_of, with};

#[test]
fn all_faults_come_at_once_with_their_lines() {
    let text = "\
scope: demo
name: a/b
restapi:
  listen: 0.0.0.0:99999
  verify_client: sometimes
log:
  level: LOUD
  max_queue_size: many
etcd3:
  hosts:
    - e1:2379
    - 'ftp://e2'
bootstrap:
  dcs:
    ttl: soon
    postgresql:
      use_slots: perhaps
postgresql:
  listen: a:1,b:2
  connect_address: 10.0.0.1:5432
  authentication:
    superuser: {username: postgres}
    replication:
      password: topsecret
  pg_hba: 5
watchdog:
  mode: maybe
  safety_margin: -2
";
    let expected = "\
node.yml:2  name: a member's name must not contain `/`, and `a/b` does
node.yml:3  restapi.connect_address: is required; give `host:port`
node.yml:4  restapi.listen: `99999` is not a port; use 1 to 65535
node.yml:5  restapi.verify_client: `sometimes` does not fit; use one of none, optional, required
node.yml:7  log.level: `LOUD` does not fit; use one of DEBUG, INFO, WARN, WARNING, ERROR, FATAL, CRITICAL
node.yml:8  log.max_queue_size: `many` does not fit; use an integer from 1 to 4294967295
node.yml:12  etcd3.hosts.1: `ftp` is no scheme of a DCS; use http or https
node.yml:15  bootstrap.dcs.ttl: `soon` does not fit; use a time of at least 0, in seconds or with us, ms, s, min, h or d
node.yml:17  bootstrap.dcs.postgresql.use_slots: `perhaps` does not fit; use a boolean: on, off, true, false, yes, no, 1 or 0
node.yml:18  postgresql.data_dir: is required; give the data directory
node.yml:19  postgresql.listen: `a:1`: the port comes once, after the last host
node.yml:23  postgresql.authentication.replication.username: is required; give the role's name
node.yml:25  postgresql.pg_hba: `5` does not fit; use a list of lines
node.yml:27  watchdog.mode: `maybe` does not fit; use one of off, automatic, required, auto, require, disable, disabled, false
node.yml:28  watchdog.safety_margin: `-2` does not fit; use a time of at least -1, in seconds or with us, ms, s, min, h or d";
    let faults = load_text(text).unwrap_err().to_string();
    assert_eq!(faults, expected);
}

#[test]
fn unknown_keys_are_warnings_with_a_proposal() {
    let text = with(&[
        "use_pg_rewind: true",
        "postgresql: {use_pg_rewnd: true, my_method: {command: x}, create_replica_methods: [my_method]}",
        "bootstrap: {dcs: {loop_wiat: 5}, method: mine, mine: {command: y}, xyzzy: 1}",
        "tags: {anything: goes}",
        "ttl: 20",
    ]);
    let first = GOOD.lines().count() + 1;
    let expected = [
        format!(
            "{first}  use_pg_rewind: is not a known key; did you mean `postgresql.use_pg_rewind`?"
        ),
        format!(
            "{}  postgresql.use_pg_rewnd: is not a known key; did you mean `use_pg_rewind`?",
            first + 1
        ),
        format!(
            "{}  bootstrap.xyzzy: is not a known key and has no effect",
            first + 2
        ),
        format!(
            "{}  bootstrap.dcs.loop_wiat: is not a known key; did you mean `loop_wait`?",
            first + 2
        ),
        format!(
            "{}  ttl: has no effect here, only in the DCS; set it with `patronictl edit-config`, for a new cluster under `bootstrap.dcs`",
            first + 4
        ),
    ];
    let mut files = vec![("node.yml".to_owned(), GOOD.to_owned())];
    // a second file, so that its sections are patched over the good ones
    let added: String = text
        .lines()
        .skip(first - 1)
        .map(|line| format!("{line}\n"))
        .collect();
    files.push(("more.yml".to_owned(), "\n".repeat(first - 1) + &added));
    let warnings = load(&files, &BTreeMap::new()).unwrap().warnings;
    let shown: Vec<String> = warnings.iter().map(Fault::to_string).collect();
    assert_eq!(shown, expected.map(|line| format!("more.yml:{line}")));
}

#[test]
fn a_store_that_is_not_spoken_to_is_one_clear_fault() {
    let without = GOOD.replace("etcd3: {hosts: [e1]}\n", "");
    let faults = faults_of(&format!("{without}raft: {{host: a, hosts: [b]}}\n"));
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].ends_with(
            "raft: DCS raft is not supported by this version; use etcd3, consul, zookeeper or kubernetes"
        ),
        "{faults:?}"
    );
    let faults = faults_of(&without);
    assert!(
        faults[0].contains("Can not find suitable configuration of distributed"),
        "{faults:?}"
    );
    let faults = faults_of(&format!("{without}etcd3: {{srv_suffix: pg}}\n"));
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains("names no endpoint"), "{faults:?}");
    for (section, problem) in [
        ("zookeeper: {}", "zookeeper: names no server"),
        ("zookeeper: {hosts: 'z1,:2181'}", "a server has no host"),
        ("zookeeper: {hosts: [z1], set_acls: {CN=a: [RUN]}}", "`RUN`"),
        ("exhibitor: {port: 8181}", "exhibitor: names no Exhibitor"),
    ] {
        let faults = faults_of(&format!("{without}{section}\n"));
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains(problem), "{faults:?}");
    }
    let faults = faults_of(&format!("{GOOD}etcd: {{host: e2}}\n"));
    assert!(
        faults[0].contains("etcd: stands beside `etcd3`"),
        "{faults:?}"
    );
}

#[test]
fn a_section_that_is_no_mapping_never_shows_what_stands_there() {
    let faults = faults_of(&GOOD.replace("superuser: {username: postgres}", "superuser: hunter2"));
    assert!(
        faults
            .iter()
            .any(|fault| fault.contains("superuser: is no mapping")),
        "{faults:?}"
    );
    assert!(
        faults.iter().all(|fault| !fault.contains("hunter2")),
        "{faults:?}"
    );
}

#[test]
fn half_a_section_of_citus_is_left_out_and_told() {
    assert_eq!(
        warnings_of(&with(&["citus: {database: c, group: 0}"])),
        [""; 0]
    );
    for (given, missing) in [("group: 0", "database"), ("database: c", "group")] {
        let told = warnings_of(&with(&[&format!("citus: {{{given}}}")]));
        assert!(
            told[0].contains(&format!(
                "citus: is left out, and this is no part of a Citus cluster: `{missing}` is missing"
            )),
            "{told:?}"
        );
    }
    let faults = faults_of(&with(&["citus: {database: c, group: -1}"]));
    assert!(faults[0].contains("citus.group"), "{faults:?}");
}

#[test]
fn what_is_no_yaml_or_no_mapping_is_told_alone() {
    let faults = faults_of("name: [a\nscope: x\n");
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains("is not YAML"), "{faults:?}");
    assert_eq!(
        faults_of("- a\n- b\n"),
        ["node.yml  holds no mapping of keys to values"]
    );
}

#[test]
fn addresses_that_others_can_not_use_are_told() {
    let text = GOOD.replace(
        "connect_address: h1:8008",
        "connect_address: 127.0.0.1:8008",
    );
    let warnings = warnings_of(&text);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("can not be reached from another host"),
        "{warnings:?}"
    );
    let faults = faults_of(&GOOD.replace("connect_address: h1:5432", "connect_address: '*:5432'"));
    assert!(faults[0].contains("names no host"), "{faults:?}");
}

#[test]
fn controlled_parameters_in_the_file_are_told_to_have_no_effect() {
    let text = GOOD.replace(
        "data_dir: /data",
        "data_dir: /data\n  parameters: {Max_Connections: 5}",
    );
    let warnings = warnings_of(&text);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("postgresql.parameters.Max_Connections: has no effect here"));
    let (settings, _) = load_text(&text).unwrap().local.effective(None);
    assert_eq!(
        settings.changing.postgresql.controlled,
        Controlled::default()
    );
}

#[test]
fn a_dynamic_configuration_is_checked_before_it_is_written() {
    let faults = validate_dynamic(&json!({
        "ttl": "soon",
        "maximum_lag_on_failover": -1,
        "postgresql": {"parameters": ["a"], "use_pg_rewind": "perhaps"},
        "slots": 7,
    }));
    let shown = faults.unwrap_err().to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 5, "{shown}");
    assert!(
        lines[0].starts_with("/config  ttl: `soon` does not fit"),
        "{shown}"
    );
    assert!(validate_dynamic(&json!([1])).is_err());
    let warnings = validate_dynamic(&json!({
        "ttl": 10,
        "lop_wait": 5,
        "postgresql": {"listen": "x", "parameters": {"max_connections": 5, "port": 1}},
        "slots": {"Bad-Name": {}, "logical": {"type": "logical"}, "fine": 0},
    }))
    .unwrap();
    let shown: Vec<String> = warnings.iter().map(Fault::to_string).collect();
    assert_eq!(
        shown,
        [
            "/config  lop_wait: is not a known key; did you mean `loop_wait`?",
            "/config  postgresql.listen: has no effect here; it belongs into each member's own file",
            "ttl=10 can't be smaller than 20, adjusting...",
            "Violated the rule \"loop_wait + 2*retry_timeout <= ttl\", where ttl=20: loop_wait=10 \
             becomes 1, retry_timeout=10 becomes 9",
            "/config  slots.Bad-Name: is no name of a slot and is left out; use 1 to 63 of a-z, 0-9, _",
            "/config  slots.logical: is left out; a logical slot needs `database` and `plugin`",
            "postgresql parameter max_connections=5 failed validation, defaulting to 100",
        ]
    );
    assert_eq!(
        validate_dynamic(&json!({"ttl": null, "pause": true})),
        Ok(Vec::new())
    );
}

#[test]
fn slips_in_the_zones_are_told_with_what_was_meant() {
    let zones = |inner: serde_json::Value| json!({"pgherd": {"synchronous_zones": inner}});
    let warned = validate_dynamic(&zones(json!({"at_least": 2, "degrade_aftr": 5}))).unwrap();
    assert_eq!(
        warned[0].to_string(),
        "/config  pgherd.synchronous_zones.degrade_aftr: is not a known key; did you mean `degrade_after`?"
    );
    let faults = validate_dynamic(&zones(json!({"at_least": 0, "degrade_after": "often"})));
    assert_eq!(
        faults.unwrap_err().to_string(),
        "/config  pgherd.synchronous_zones.at_least: `0` does not fit; use an integer from 1 to 4294967295\n\
         /config  pgherd.synchronous_zones.degrade_after: `often` does not fit; use a time of at least 0, in \
         seconds or with us, ms, s, min, h or d, or the word never"
    );
}

#[test]
fn an_empty_name_of_the_cluster_is_told() {
    let text = GOOD.replace("scope: demo", "scope: ''");
    assert_eq!(
        faults_of(&text),
        ["node.yml:1  scope: is required; give the cluster's name"]
    );
}

#[test]
fn a_log_that_would_say_nothing_takes_its_usual_form() {
    let usual = Log::default();
    let logs = |section: &str| {
        let text = with(&[&format!("log: {section}")]);
        let log = load_text(&text).unwrap().local.log();
        (log, warnings_of(&text).len())
    };
    for form in ["''", "'%(message'", "plain words"] {
        let (log, warnings) = logs(&format!("{{format: {form}}}"));
        assert_eq!((log.format, warnings), (usual.format.clone(), 1), "{form}");
    }
    let (log, warnings) = logs("{loggers: {a: debug, b: 10, c: LOUD, d: ''}}");
    let names: Vec<&str> = log.loggers.keys().map(String::as_str).collect();
    assert_eq!((names, warnings), (vec!["a", "b"], 2));
}

#[test]
fn parameters_that_would_lead_the_server_elsewhere_or_stop_its_start_are_left_out() {
    let postgresql = |parameters: &str| {
        let text = GOOD.replace(
            "  data_dir: /data\n",
            &format!("  data_dir: /data\n  {parameters}\n"),
        );
        let settings = load_text(&text).unwrap().local.effective(None).0;
        (settings.changing.postgresql, warnings_of(&text))
    };
    let (pg, warnings) = postgresql("parameters: {Data_Directory: /other, work_mem: 4MB}");
    assert_eq!(pg.parameters.len(), 1);
    assert!(
        warnings[0].contains("`postgresql.data_dir`"),
        "{warnings:?}"
    );
    let (pg, warnings) = postgresql("parameters: {data_directory: /data/}");
    assert!(
        pg.parameters.is_empty() && warnings.is_empty(),
        "{warnings:?}"
    );
    let (pg, warnings) = postgresql("parameters: {recovery_min_apply_delay: 5 bananas}");
    assert!(pg.recovery_conf.is_empty());
    assert!(warnings[0].contains("which is no time"), "{warnings:?}");

    let text = GOOD.replace(
        "  data_dir: /data\n",
        "  data_dir: /data\n  parameters: {work_mem: 4MB}\n",
    );
    let dynamic = json!({"postgresql": {"parameters": {"data_directory": "/other"}}});
    let told = load_text(&text).unwrap().local.effective(Some(&dynamic)).1;
    assert!(
        told[0]
            .to_string()
            .starts_with("/config  postgresql.parameters.data_directory: is left out"),
        "{told:?}"
    );
}
