//! How the file looks: sections in the order in which people read them, a blank line between them.

use pgherd_api::yaml;
use serde_json::{Map, Value};

/// Sections in their order; scalars of the top level stand together.
const ORDER: [&[&str]; 15] = [
    &["scope", "namespace", "name"],
    &["log"],
    &["restapi"],
    &["ctl"],
    &["citus"],
    &["consul"],
    &["etcd"],
    &["etcd3"],
    &["exhibitor"],
    &["kubernetes"],
    &["raft"],
    &["zookeeper"],
    &["bootstrap"],
    &["postgresql"],
    &["watchdog", "tags"],
];

/// What stands above `bootstrap.dcs`.
const ABOUT_DCS: &str = "\
# Used once, when the first member makes the cluster; later changes here do nothing.
";
const ABOUT_CONFIG: &str = "\
# Becomes the dynamic configuration of all members; from then on it is changed with
# `patronictl edit-config`.
";

/// The text of the file. Ends with a line break.
pub(crate) fn render(document: &Map<String, Value>) -> String {
    let mut parts = Vec::new();
    for names in ORDER {
        let mut part = String::new();
        for name in names {
            match document.get(*name) {
                Some(Value::Object(section)) if *name == "bootstrap" => {
                    part.push_str(&bootstrap(section));
                }
                Some(value) => part.push_str(&entry(name, value)),
                None => {}
            }
        }
        if !part.is_empty() {
            parts.push(part);
        }
    }
    parts.join("\n")
}

fn entry(name: &str, value: &Value) -> String {
    let mut map = Map::new();
    map.insert(name.to_owned(), value.clone());
    yaml::block(&map.into())
}

/// `dcs` with its timing first, then whatever else there is.
fn bootstrap(section: &Map<String, Value>) -> String {
    let mut out = format!("{ABOUT_DCS}bootstrap:\n");
    let mut rest = section.clone();
    if let Some(Value::Object(dcs)) = rest.shift_remove("dcs") {
        let (timing, other): (Map<_, _>, Map<_, _>) = dcs
            .into_iter()
            .partition(|(name, _)| ["loop_wait", "retry_timeout", "ttl"].contains(&name.as_str()));
        out.push_str(&indented(ABOUT_CONFIG, 2));
        out.push_str("  dcs:\n");
        for part in [timing, other].into_iter().filter(|part| !part.is_empty()) {
            out.push_str(&indented(&yaml::block(&part.into()), 4));
        }
    }
    if !rest.is_empty() {
        out.push_str(&indented(&yaml::block(&rest.into()), 2));
    }
    out
}

fn indented(text: &str, by: usize) -> String {
    let pad = " ".repeat(by);
    text.lines().map(|line| format!("{pad}{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sections_come_in_their_order_and_read_back_as_they_were() {
        let document = json!({
            "postgresql": {"listen": "a:1"},
            "tags": {"nosync": false},
            "bootstrap": {"initdb": ["data-checksums"], "dcs": {"postgresql": {"use_slots": true}, "ttl": 30}},
            "name": "n",
            "scope": "s",
        });
        let Value::Object(map) = document.clone() else {
            panic!("a map")
        };
        let text = render(&map);
        let order = [
            "scope: s\nname: n\n\n",
            "bootstrap:",
            "ttl: 30",
            "use_slots",
            "initdb",
            "\n\npostgresql:",
            "\n\ntags:",
        ];
        let places: Vec<usize> = order.iter().map(|part| text.find(part).unwrap()).collect();
        assert!(places.is_sorted(), "{text}");
        assert_eq!(pgherd_settings::read_yaml(&text).unwrap(), document);
    }
}
