//! Which layer counts for which key: one test per row of the contract's table, and the environment.

#[cfg(test)]
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::{SyncMode, ZonePolicy};
use pgherd_settings::*;
use serde_json::{Value, json};
use support::{GOOD, changing, effective, with};

#[test]
fn cluster_keys_count_from_the_dynamic_layer_only() {
    let local = "ttl: 100\nloop_wait: 3\nsynchronous_mode: quorum\npause: true\nmaximum_lag_on_failover: 5\n\
                 slots: {a: 0}\nstandby_cluster: {host: h}\nmember_slots_ttl: 1\nfailsafe_mode: true\n\
                 postgresql: {use_slots: false, parameters: {max_connections: 500}}\n";
    let here = changing(local, &json!({}));
    assert_eq!(here.cluster, Cluster::default());
    assert!(here.postgresql.use_slots);
    assert_eq!(here.postgresql.controlled, Controlled::default());

    let dynamic = json!({
        "ttl": 60, "loop_wait": "20s", "retry_timeout": 5, "synchronous_mode": true,
        "synchronous_mode_strict": "on", "synchronous_node_count": 2,
        "maximum_lag_on_failover": "1MB", "maximum_lag_on_syncnode": "2MB", "check_timeline": true,
        "failsafe_mode": "yes", "pause": true, "primary_start_timeout": "5min",
        "primary_stop_timeout": 30, "primary_race_backoff": 2, "max_timelines_history": 7,
        "member_slots_ttl": "1h", "postgresql": {"use_slots": "off", "parameters": {"Max_Connections": 500}},
    });
    let there = changing(local, &dynamic);
    let seconds = Duration::from_secs;
    let expected = Cluster {
        timing: Timing {
            ttl: seconds(60),
            loop_wait: seconds(20),
            retry_timeout: seconds(5),
        },
        maximum_lag_on_failover: 1 << 20,
        maximum_lag_on_syncnode: Some(2 << 20),
        check_timeline: true,
        max_timelines_history: 7,
        primary_start_timeout: seconds(300),
        primary_stop_timeout: Some(seconds(30)),
        primary_race_backoff: seconds(2),
        synchronous_mode: SyncMode::On,
        synchronous_mode_strict: true,
        synchronous_node_count: 2,
        failsafe_mode: true,
        pause: true,
        member_slots_ttl: seconds(3600),
        ..Cluster::default()
    };
    assert_eq!(there.cluster, expected);
    assert!(!there.postgresql.use_slots);
    assert_eq!(
        there.postgresql.controlled.command_line["max_connections"],
        "500"
    );
}

#[test]
fn a_member_s_own_keys_count_from_the_local_layer_only() {
    let dynamic = json!({
        "name": "x", "scope": "x", "namespace": "x", "log": {"level": "DEBUG"},
        "ctl": {"insecure": true}, "restapi": {"listen": "a:1"}, "etcd3": {"host": "x"},
        "watchdog": {"mode": "required"}, "tags": {"nofailover": true}, "bootstrap": {"dcs": {}},
        "postgresql": {
            "connect_address": "x:1", "proxy_address": "x:1", "listen": "x:1", "config_dir": "/x",
            "data_dir": "/x", "pgpass": "/x", "authentication": {"superuser": {"username": "x"}},
        },
    });
    let (settings, warnings) = effective("", &dynamic);
    assert_eq!(warnings, [""; 0]);
    let (plain, _) = effective("", &json!({}));
    assert_eq!(settings, plain);
}

#[test]
fn the_rest_of_postgresql_counts_from_both_and_the_local_value_wins_as_a_whole() {
    let dynamic = json!({"postgresql": {
        "use_pg_rewind": true, "bin_dir": "/dynamic", "pg_ctl_timeout": "2min",
        "pg_hba": ["dynamic"], "pg_ident": ["dynamic"],
        "callbacks": {"on_start": "dynamic", "on_stop": "dynamic"},
        "parameters": {"work_mem": "1MB", "Log_Statement": "all", "restore_command": "fetch"},
        "recovery_conf": {"recovery_min_apply_delay": "1h"},
    }});
    let local = "postgresql:\n  bin_dir: /local\n  pg_hba: [local]\n  callbacks: {on_start: local}\n  \
                 parameters: {WORK_MEM: 2MB, wal_compression: on}\n";
    let (settings, warnings) = effective(local, &dynamic);
    assert_eq!(warnings, [""; 0]);
    assert_eq!(
        settings
            .fixed
            .place
            .bin_dir
            .as_deref()
            .map(|path| path.as_str()),
        Some("/local")
    );
    let postgresql = settings.changing.postgresql;
    assert!(postgresql.use_pg_rewind);
    assert_eq!(postgresql.pg_ctl_timeout, Duration::from_secs(120));
    assert_eq!(
        postgresql.pg_hba.all.as_deref(),
        Some(&["local".to_owned()][..])
    );
    assert_eq!(
        postgresql.pg_ident.all.as_deref(),
        Some(&["dynamic".to_owned()][..])
    );
    assert_eq!(postgresql.callbacks.on_start.as_deref(), Some("local"));
    assert_eq!(
        postgresql.callbacks.on_stop, None,
        "callbacks are replaced as a whole"
    );
    let text = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    assert_eq!(
        postgresql.parameters,
        text(&[
            ("work_mem", "2MB"),
            ("log_statement", "all"),
            ("wal_compression", "on")
        ]),
        "parameters are merged name by name, whatever their case"
    );
    assert_eq!(
        postgresql.recovery_conf,
        text(&[
            ("restore_command", "fetch"),
            ("recovery_min_apply_delay", "1h")
        ])
    );
}

#[test]
fn replica_methods_have_sections_of_their_own() {
    let dynamic = json!({"postgresql": {
        "create_replica_methods": ["fetch", "bare", "basebackup"],
        "fetch": {"command": "/fetch", "no_leader": 1, "from": "s3", "verbose": true},
    }});
    let local = "postgresql: {bare: {no_params: on, keep_data: on, only: this}}\n";
    let (settings, warnings) = effective(local, &dynamic);
    assert_eq!(warnings, [""; 0]);
    let methods = settings.changing.postgresql.create_replica_methods;
    let text = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let fetch = &methods[0];
    assert_eq!(
        (fetch.name.as_str(), fetch.command.as_str()),
        ("fetch", "/fetch")
    );
    assert!(fetch.no_leader && !fetch.keep_data && !fetch.no_params);
    assert_eq!(
        fetch.params,
        text(&[("from", "s3"), ("no_leader", "1"), ("verbose", "True")])
    );
    let bare = &methods[1];
    assert_eq!(
        (bare.name.as_str(), bare.command.as_str()),
        ("bare", "bare")
    );
    assert!(bare.keep_data && bare.no_params);
    assert_eq!(
        bare.params,
        text(&[("only", "this")]),
        "without params its flags are dropped"
    );
    assert_eq!(methods[2..], [ReplicaMethod::basebackup()]);
}

#[test]
fn what_does_not_fit_in_the_dynamic_layer_falls_to_its_default_with_a_warning() {
    let dynamic = json!({
        "ttl": "soon", "maximum_lag_on_failover": "lots", "synchronous_mode": "maybe",
        "synchronous_node_count": 0, "pause": "perhaps", "primary_start_timeout": -1,
        "postgresql": {"use_pg_rewind": "maybe", "parameters": {"max_connections": 24}},
    });
    let (settings, warnings) = effective("", &dynamic);
    assert_eq!(settings.changing.cluster, Cluster::default());
    assert!(!settings.changing.postgresql.use_pg_rewind);
    assert_eq!(warnings.len(), 8, "{warnings:#?}");
    assert!(
        warnings[0].starts_with("/config  ttl: `soon` does not fit; use a time"),
        "{warnings:#?}"
    );
    assert!(
        warnings[0].ends_with("; its default is used"),
        "{warnings:#?}"
    );
    assert_eq!(
        warnings[7],
        "postgresql parameter max_connections=24 failed validation, defaulting to 100"
    );
    assert_eq!(effective("", &json!([1])).0, effective("", &json!({})).0);
}

#[test]
fn old_names_count_where_the_new_ones_are_not_given() {
    let old = json!({"master_start_timeout": 5, "master_stop_timeout": 6, "permanent_slots": {"a": 0},
                     "slots": {"b": 0}});
    let cluster = changing("", &old).cluster;
    assert_eq!(cluster.primary_start_timeout, Duration::from_secs(5));
    assert_eq!(cluster.primary_stop_timeout, Some(Duration::from_secs(6)));
    assert_eq!(cluster.slots.keys().collect::<Vec<_>>(), ["a"]);
    let both = json!({"master_start_timeout": 5, "primary_start_timeout": 0, "permanent_slots": {},
                      "slots": {"b": 0}});
    let cluster = changing("", &both).cluster;
    assert_eq!(cluster.primary_start_timeout, Duration::ZERO);
    assert_eq!(cluster.slots.keys().collect::<Vec<_>>(), ["b"]);

    let text = GOOD.replace(
        "  authentication:\n    superuser: {username: postgres}\n    replication: {username: repl}\n",
        "  superuser: {username: s}\n  replication: {username: r}\n  pg_rewind: {username: w}\n",
    );
    let local = support::load_text(&text).unwrap().local;
    let postgresql = local.effective(None).0.changing.postgresql;
    assert!(
        postgresql.use_pg_rewind,
        "the presence of pg_rewind implies it"
    );
    assert_eq!(
        postgresql.authentication.superuser.username.as_deref(),
        Some("s")
    );
    assert_eq!(
        postgresql.authentication.replication.username.as_deref(),
        Some("r")
    );
    assert_eq!(
        postgresql.authentication.for_rewind().username.as_deref(),
        Some("w")
    );
}

#[test]
fn slots_and_the_standby_cluster_are_read() {
    let cluster = changing("", &json!({
        "slots": {"p": {"type": "physical", "cluster_type": "standby"}, "zero": 0,
                  "l": {"database": "db", "plugin": "pgoutput", "failover": true}},
        "ignore_slots": [{"name": "x", "type": "logical"}, {"plugin": "wal2json"}],
        "standby_cluster": {"host": "a,b", "port": 5433, "create_replica_methods": ["basebackup"]},
    }))
    .cluster;
    let physical = PermanentSlot {
        kind: SlotKind::Physical,
        cluster_type: None,
        failover: None,
    };
    let logical = SlotKind::Logical {
        database: "db".to_owned(),
        plugin: "pgoutput".to_owned(),
    };
    let expected = [
        (
            "p".to_owned(),
            PermanentSlot {
                cluster_type: Some("standby".to_owned()),
                ..physical.clone()
            },
        ),
        ("zero".to_owned(), physical.clone()),
        (
            "l".to_owned(),
            PermanentSlot {
                kind: logical,
                failover: Some(true),
                ..physical
            },
        ),
    ];
    assert_eq!(cluster.slots, expected.into());
    assert_eq!(cluster.ignore_slots.len(), 2);
    assert_eq!(cluster.ignore_slots[0].kind.as_deref(), Some("logical"));
    let standby = cluster.standby_cluster.unwrap();
    assert_eq!(
        (standby.host.as_deref(), standby.port.as_deref()),
        (Some("a,b"), Some("5433"))
    );
    assert_eq!(
        standby.create_replica_methods,
        [ReplicaMethod::basebackup()]
    );
    let inactive = json!({"standby_cluster": {"primary_slot_name": "x"}});
    assert_eq!(changing("", &inactive).cluster.standby_cluster, None);
}

#[test]
fn a_standby_cluster_has_methods_of_its_own() {
    let names = |cluster: &StandbyCluster| -> Vec<(String, bool)> {
        let methods = cluster.create_replica_methods.iter();
        methods
            .map(|method| (method.command.clone(), method.no_leader))
            .collect()
    };
    let local = "postgresql:\n  vault: {command: /bin/fetch, no_leader: true}\n";
    let own =
        json!({"standby_cluster": {"restore_command": "x", "create_replica_methods": ["vault"]}});
    let standby = changing(local, &own).cluster.standby_cluster.unwrap();
    let wanted = [("/bin/fetch".to_owned(), true)];
    assert_eq!(
        names(&standby),
        wanted,
        "also when `postgresql` itself does not list it"
    );
}

#[test]
fn ports_that_do_not_fit_the_hosts_are_told() {
    for (ports, complaint) in [
        ("5432,5433", None),
        ("5432,5433,5434", Some("3 ports for 2 hosts")),
        ("5432,x", Some("`5432,x` does not fit")),
    ] {
        let document = json!({"standby_cluster": {"host": "a,b", "port": ports}});
        let (_, warnings) = effective("", &document);
        let told = warnings.first().map(String::as_str);
        let fits = match complaint {
            Some(complaint) => told.is_some_and(|told| told.contains(complaint)),
            None => told.is_none(),
        };
        assert!(fits, "{ports}: {warnings:?}");
    }
}

#[test]
fn a_short_ttl_needs_the_word_of_either_layer() {
    let dynamic = json!({"ttl": 3, "loop_wait": 1, "retry_timeout": 1});
    assert_eq!(
        changing("", &dynamic).cluster.timing.ttl,
        Duration::from_secs(20)
    );
    let allowed = "pgherd: {allow_short_ttl: yes}\n";
    assert_eq!(
        changing(allowed, &dynamic).cluster.timing.ttl,
        Duration::from_secs(3)
    );
    let mut dynamic = dynamic;
    dynamic["pgherd"] = json!({"allow_short_ttl": true});
    let denied = "pgherd: {allow_short_ttl: off}\n";
    for local in ["", denied] {
        let (settings, warnings) = effective(local, &dynamic);
        assert_eq!(settings.changing.cluster.timing.ttl, Duration::from_secs(3));
        assert_eq!(warnings, [""; 0]);
    }
}

#[test]
fn zones_are_asked_for_in_the_dynamic_layer_only() {
    let zones = |more: Value| {
        let mut dynamic = json!({"synchronous_mode": "quorum"});
        dynamic["pgherd"] = json!({"synchronous_zones": more});
        changing("", &dynamic).cluster.zones
    };
    let policy = |label: &str, degrade_after| {
        Some(ZonePolicy {
            label: label.to_owned(),
            at_least: 2,
            degrade_after,
        })
    };
    assert_eq!(zones(json!({"at_least": 2})), policy("zone", None));
    let rack = json!({"at_least": "2", "label": "rack", "degrade_after": "1min"});
    let minute = Some(Duration::from_secs(60));
    assert_eq!(zones(rack), policy("rack", minute));
    let never = json!({"at_least": 2, "degrade_after": "Never"});
    assert_eq!(zones(never), policy("zone", None));
    assert_eq!(zones(json!({"at_least": 1})), None);
    let here = "pgherd: {synchronous_zones: {at_least: 2}}\n";
    let settings = changing(here, &json!({"synchronous_mode": true}));
    assert_eq!(settings.cluster.zones, None);

    let (_, warnings) = effective(
        "",
        &json!({"pgherd": {"synchronous_zones": {"at_least": 2}}}),
    );
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].ends_with("has no effect while synchronous_mode is off"));
}

#[test]
fn yaml_of_both_versions_means_the_same() {
    let spelled = |on: &str| {
        let more = format!(
            "postgresql:\n  use_pg_rewind: {on}\n  parameters: {{hot_standby_feedback: {on}}}\n\
             tags: {{clonefrom: {on}}}\nlog: {{mode: 0644}}\n"
        );
        changing(&more, &Value::Null)
    };
    let first = spelled("on");
    for on in ["'on'", "yes", "true", "On", "\"YES\"", "True"] {
        let mut other = spelled(on);
        let feedback = other
            .postgresql
            .parameters
            .remove("hot_standby_feedback")
            .unwrap();
        assert_eq!(value::flag(&feedback.into()), Some(true), "{on}");
        other
            .postgresql
            .parameters
            .insert("hot_standby_feedback".to_owned(), "on".to_owned());
        assert_eq!(other, first, "{on}");
    }
    assert_eq!(first.log.mode, Some(0o644));
    assert_eq!(
        first.tags.published,
        [("clonefrom".to_owned(), json!(true))].into()
    );
}

#[test]
fn tags_are_published_as_the_contract_says() {
    let published = |tags: &str| {
        let (settings, _) = effective(&format!("tags: {tags}\n"), &Value::Null);
        serde_json::to_value(settings.changing.tags.published).unwrap()
    };
    for (tags, map) in [
        (
            "{nofailover: false, noloadbalance: no, clonefrom: off, nosync: 0, nostream: false}",
            json!({}),
        ),
        (
            "{nofailover: true, zone: a, weight: 5}",
            json!({"nofailover": true, "zone": "a", "weight": 5}),
        ),
        (
            "{nofailover: false, failover_priority: 2}",
            json!({"nofailover": false, "failover_priority": 2}),
        ),
        (
            "{nosync: no, sync_priority: '3'}",
            json!({"nosync": false, "sync_priority": 3}),
        ),
        (
            "{replicatefrom: n2, nostream: yes}",
            json!({"replicatefrom": "n2", "nostream": true}),
        ),
    ] {
        assert_eq!(published(tags), map, "{tags}");
    }
    let text =
        with(&["tags: {nofailover: true, failover_priority: 1, nosync: false, sync_priority: 0}"]);
    let loaded = support::load_text(&text).unwrap();
    let shown: Vec<String> = loaded.warnings.iter().map(Fault::to_string).collect();
    assert_eq!(
        shown,
        [
            "Conflicting configuration between nofailover: True and failover_priority: 1. \
             Defaulting to nofailover: True",
            "Conflicting configuration between nosync: False and sync_priority: 0. \
             Defaulting to nosync: False",
        ]
    );
    let (settings, again) = loaded.local.effective(None);
    assert!(
        again.is_empty(),
        "what was told at loading is not told again: {again:?}"
    );
    assert!(settings.changing.tags.nofailover && !settings.changing.tags.nosync);
}

#[test]
fn files_of_a_directory_are_patched_in_order_and_null_removes() {
    let files = [
        ("a.yml", GOOD),
        (
            "b.yml",
            "log: {level: DEBUG, dir: /log}\ntags: {nosync: true}\n",
        ),
        (
            "c.yml",
            "log: {dir: null}\ntags: null\nrestapi: {listen: '*:9'}\n",
        ),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let local = load(&files, &BTreeMap::new()).unwrap().local;
    let changing = local.effective(None).0.changing;
    assert_eq!(
        (changing.log.level.as_str(), changing.log.dir),
        ("DEBUG", None)
    );
    assert!(!changing.tags.nosync);
    assert_eq!(
        (
            changing.restapi.listen.port,
            changing.restapi.connect_address.port
        ),
        (9, 8008)
    );
}

#[test]
fn a_reload_that_only_respells_changes_nothing() {
    let one = support::load_text(&with(&["log: {max_queue_size: 101}"]))
        .unwrap()
        .local;
    let other = support::load_text(&with(&["# moved", "log:", "  max_queue_size: '101'"]))
        .unwrap()
        .local;
    let changed = support::load_text(&with(&["log: {max_queue_size: 102}"]))
        .unwrap()
        .local;
    assert!(one.says_the_same_as(&other));
    assert!(!one.says_the_same_as(&changed));
}

#[test]
fn a_group_of_a_citus_cluster_has_what_citus_needs_whatever_the_dynamic_layer_says() {
    let local = "citus: {group: 2, database: app}\nbootstrap: {dcs: {ttl: 40}}\n";
    let dynamic = json!({"postgresql": {"parameters": {
        "wal_level": "replica", "max_connections": 300, "shared_preload_libraries": "pg_stat_statements",
    }}});
    let (settings, _) = effective(local, &dynamic);
    let citus = settings.fixed.citus.unwrap();
    assert_eq!((citus.group, citus.database.as_str()), (2, "app"));
    assert_eq!(
        Value::Object(settings.fixed.bootstrap.dcs),
        json!({"ttl": 40, "synchronous_mode": "quorum"})
    );
    let pg = settings.changing.postgresql;
    let libraries = &pg.parameters["shared_preload_libraries"];
    assert_eq!(libraries, "citus,pg_stat_statements");
    assert!(pg.parameters.contains_key("citus.local_hostname"));
    let controlled = &pg.controlled.command_line;
    assert_eq!(controlled["wal_level"], "logical");
    assert_eq!(controlled["max_prepared_transactions"], "600");

    let named = "citus: {group: 2, database: app}\nbootstrap: {dcs: {synchronous_mode: false}}\n";
    let mode = effective(named, &json!({})).0.fixed.bootstrap.dcs["synchronous_mode"].clone();
    assert_eq!(mode, json!(false), "what is named stays");
    let (neither, _) = effective("citus: {group: 2}\n", &dynamic);
    assert_eq!(neither.fixed.citus, None);
    assert_eq!(
        neither.changing.postgresql.controlled.command_line["wal_level"],
        "replica"
    );
}
