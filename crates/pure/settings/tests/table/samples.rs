//! Values that fit each key and values that do not, and what else a file must say for a key to count.

use pgherd_settings::keys::{Key, Kind};
use serde_json::{Value, json};

/// Two values that fit a key; the first is not its default. `None` for a section, whose keys have rows of their own.
pub(crate) fn fitting(key: &Key) -> Option<[Value; 2]> {
    let number = |min: i64, max: i64| {
        let other_than_default = |number: &i64| {
            (min..=max).contains(number) && number.to_string() != key.default && *number != 0
        };
        let mut fit = [7, 60, 65_536, min, max].into_iter();
        let one = fit.find(other_than_default).unwrap_or(min);
        let other = fit.find(other_than_default).unwrap_or(min);
        [json!(one), json!(other)]
    };
    let of_path = match key.path {
        "ttl" => Some([json!(60), json!("2min")]),
        "log.format" => Some([json!("%(message)s"), json!("%(levelname)s %(message)s")]),
        "standby_cluster.recovery_min_apply_delay" => Some([json!("1h"), json!("2h")]),
        "log.loggers" => Some([json!({"some": "debug"}), json!({"some": 10})]),
        "log.static_fields" => Some([json!({"some": "x"}), json!({"some": 5})]),
        "ignore_slots" => Some([json!([{"name": "some"}]), json!([{"type": "logical"}])]),
        "slots" | "permanent_slots" | "permanent_replication_slots" => {
            Some([json!({"some": 0}), json!({"other": {"type": "physical"}})])
        }
        "kubernetes.ports" => Some([
            json!([{"port": 5433}]),
            json!([{"name": "some", "port": "5434", "protocol": "TCP"}]),
        ]),
        "kubernetes.retriable_http_codes" => Some([json!([502, "599"]), json!("418")]),
        "zookeeper.set_acls" => Some([json!({"CN=some": ["READ"]}), json!({"CN=some": "all"})]),
        "bootstrap.dcs" => Some([json!({"loop_wait": 5}), json!({"loop_wait": 6})]),
        "postgresql.superuser" | "postgresql.replication" | "postgresql.pg_rewind" => {
            Some([json!({"username": "some"}), json!({"username": "other"})])
        }
        _ => None,
    };
    if of_path.is_some() {
        return of_path;
    }
    Some(match key.kind {
        Kind::Section | Kind::Mapping | Kind::Any => return None,
        Kind::Flag if key.default == "on" => [json!(false), json!("yes")],
        Kind::Flag => [json!("Yes"), json!(0)],
        Kind::Whole(min, max) => number(min, max),
        Kind::Bytes(_) => [json!("2MB"), json!("0x20000")],
        Kind::Seconds(_) | Kind::SecondsOrNever(_) => [json!("7s"), json!(6)],
        Kind::FileMode => [json!("0640"), json!(0o600)],
        Kind::Text | Kind::Secret => [json!("some"), json!("other")],
        Kind::Ports => [json!(5433), json!("5433, 5434")],
        Kind::Choice(words) => {
            let mut others = words.iter().filter(|word| **word != key.default);
            let one = others.next().unwrap_or(&key.default);
            [
                json!(one.to_uppercase()),
                json!(others.next().unwrap_or(one)),
            ]
        }
        Kind::List => [json!(["some", "more"]), json!("other")],
        Kind::Lines => [json!(["some", "more"]), json!("other\nlines")],
        Kind::Texts => [json!({"some": "x"}), json!({"some": 5})],
        Kind::Options => [json!(["some", {"more": "x"}]), json!({"some": "y"})],
    })
}

/// Values of other kinds, and those out of the range.
pub(crate) fn unfitting(key: &Key) -> Vec<Value> {
    let beyond = |min: i64, max: i64| {
        let numbers = [min.checked_sub(1), max.checked_add(1)];
        numbers.into_iter().flatten().map(Value::from)
    };
    match key.kind {
        Kind::Any => match key.path {
            "log.format" => vec![json!(5), json!([5]), json!([]), json!({"a": "b"})],
            _ => Vec::new(),
        },
        Kind::Section | Kind::Mapping => vec![json!(5), json!("some"), json!(["a"])],
        Kind::Flag => vec![
            json!("perhaps"),
            json!(2),
            json!(""),
            json!([true]),
            json!({"a": 1}),
        ],
        Kind::Whole(min, max) => {
            let others = [json!("many"), json!("7 apples"), json!(true), json!([7])];
            beyond(min, max).chain(others).collect()
        }
        Kind::Bytes(min) | Kind::Seconds(min) | Kind::SecondsOrNever(min) => {
            let others = [json!("many"), json!("7 apples"), json!(true), json!([7])];
            beyond(min, i64::MAX).chain(others).collect()
        }
        Kind::FileMode => vec![json!("0999"), json!("01000"), json!(-1), json!("rw-r--r--")],
        Kind::Text | Kind::Secret => vec![json!(["one", "two"]), json!({"a": "b"})],
        Kind::Ports => vec![
            json!("many"),
            json!(0),
            json!(65_536),
            json!([1]),
            json!("1,,2"),
        ],
        Kind::Choice(_) => vec![
            json!("perhaps"),
            json!(7),
            json!(["off"]),
            json!({"a": "b"}),
        ],
        Kind::List => vec![json!({"a": "b"}), json!([["a"]]), json!(true)],
        Kind::Lines => vec![json!({"a": "b"}), json!([["a"]]), json!(5)],
        Kind::Texts => vec![json!(5), json!("some"), json!(["a"]), json!({"a": ["b"]})],
        Kind::Options => vec![
            json!(5),
            json!("some"),
            json!([5]),
            json!([{"a": "1", "b": "2"}]),
        ],
    }
}

/// The path with a name for each `*`.
pub(crate) fn path_of(key: &Key) -> String {
    let path = key
        .path
        .replace("authentication.*", "authentication.superuser");
    path.replace('*', "some")
}

/// What the file and `/config` must say besides, so that the key counts.
pub(crate) fn context(path: &str) -> (Value, Value) {
    let file = match path {
        "etcd3.host" | "etcd3.url" | "etcd3.proxy" | "etcd3.srv_suffix" => {
            json!({"etcd3": {"hosts": null, "srv": "example.org"}})
        }
        "etcd.host" | "etcd.url" | "etcd.proxy" | "etcd.srv_suffix" => {
            json!({"etcd3": null, "etcd": {"srv": "example.org"}})
        }
        _ if path.starts_with("etcd.") => json!({"etcd3": null, "etcd": {"hosts": ["e1"]}}),
        "zookeeper.use_ssl" => json!({"etcd3": null, "zookeeper": {"hosts": ["z1"]}}),
        _ if path.starts_with("zookeeper.exhibitor.") => {
            json!({"etcd3": null, "zookeeper": {"exhibitor": {"hosts": ["x1"]}}})
        }
        _ if path.starts_with("zookeeper.") => {
            json!({"etcd3": null, "zookeeper": {"hosts": ["z1"], "use_ssl": true}})
        }
        _ if path.starts_with("exhibitor.") => {
            json!({"etcd3": null, "exhibitor": {"hosts": ["x1"]}})
        }
        "kubernetes.pod_ip" => {
            json!({"etcd3": null, "kubernetes": {"labels": {"a": "b"}, "use_endpoints": true}})
        }
        "kubernetes.ports" => json!({"etcd3": null, "kubernetes": {
            "labels": {"a": "b"}, "use_endpoints": true, "pod_ip": "10.0.0.1",
        }}),
        "kubernetes.use_endpoints" => {
            json!({"etcd3": null, "kubernetes": {"labels": {"a": "b"}, "pod_ip": "10.0.0.1"}})
        }
        _ if path.starts_with("kubernetes.") => {
            json!({"etcd3": null, "kubernetes": {"labels": {"a": "b"}}})
        }
        "consul.key" => json!({"etcd3": null, "consul": {"cert": "/cert"}}),
        _ if path.starts_with("consul.") => json!({"etcd3": null, "consul": {}}),
        "restapi.authentication.password" => {
            json!({"restapi": {"authentication": {"username": "u"}}})
        }
        "ctl.authentication.password" => json!({"ctl": {"authentication": {"username": "u"}}}),
        "citus.group" => json!({"citus": {"database": "some"}}),
        "citus.database" => json!({"citus": {"group": 1}}),
        "bootstrap.method" => json!({"bootstrap": {
            "dcs": {}, "some": {"command": "x"}, "other": {"command": "x"},
        }}),
        _ if path.starts_with("bootstrap.") => json!({"bootstrap": {"dcs": {}}}),
        "postgresql.superuser" | "postgresql.replication" | "postgresql.pg_rewind" => {
            json!({"postgresql": {
                "authentication": null, "superuser": {"username": "s"}, "replication": {"username": "r"},
            }})
        }
        "postgresql.name" => json!({"name": null, "postgresql": {"name": "n1"}}),
        _ => json!({}),
    };
    let dynamic = match path {
        "standby_cluster.host" => json!({"standby_cluster": {"port": 1}}),
        _ if path.starts_with("standby_cluster.") => json!({"standby_cluster": {"host": "h,i"}}),
        "pgherd.synchronous_zones.at_least" => json!({"synchronous_mode": "quorum"}),
        _ if path.starts_with("pgherd.synchronous_zones.") => json!({
            "synchronous_mode": "quorum", "pgherd": {"synchronous_zones": {"at_least": 3}},
        }),
        "pgherd.allow_short_ttl" => json!({"ttl": 5, "loop_wait": 1, "retry_timeout": 1}),
        _ => json!({}),
    };
    (file, dynamic)
}
