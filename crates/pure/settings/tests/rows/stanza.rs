//! The rows as they are written.

use std::collections::BTreeMap;

use pgherd_settings::read_yaml;
use serde_json::Value;

/// One thing that is looked at in a stanza.
pub(crate) struct Look<'a> {
    pub(crate) line: usize,
    pub(crate) what: &'a str,
    /// What we make of it.
    pub(crate) pgherd: Value,
    /// Why that is not what Patroni makes of it.
    pub(crate) why: Option<&'a str>,
}

/// Layers, and what is looked at.
#[derive(Default)]
pub(crate) struct Stanza<'a> {
    pub(crate) files: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) dynamic: Option<Value>,
    pub(crate) looks: Vec<Look<'a>>,
}

pub(crate) fn stanzas(rows: &str) -> Vec<Stanza<'_>> {
    let mut all = Vec::new();
    let mut stanza = Stanza::default();
    for (at, line) in rows.lines().enumerate() {
        if line.starts_with('#') || line.starts_with("why ") {
            continue;
        }
        if let Some(row) = line.strip_prefix("  ") {
            stanza.looks.push(look(at + 1, row));
            continue;
        }
        let (layer, text) = line.split_once(' ').unwrap_or((line, ""));
        match layer {
            "file" => stanza.files.push(text.to_owned()),
            "env" => {
                let (name, value) = text.split_once('=').unwrap();
                let value = value.replace("\\n", "\n");
                stanza.environment.insert(name.to_owned(), value);
            }
            "dynamic" => stanza.dynamic = Some(read_yaml(text).unwrap()),
            "" => all.push(std::mem::take(&mut stanza)),
            other => panic!("line {}: no such layer: {other}", at + 1),
        }
    }
    all.push(stanza);
    all.retain(|stanza| !stanza.looks.is_empty());
    all
}

fn look(line: usize, row: &str) -> Look<'_> {
    let (what, values) = row.split_once(" = ").unwrap();
    let json = |text: &str| {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("line {line}: {text}: {error}"))
    };
    match values.rsplit_once(" | pgherd ") {
        None => Look {
            line,
            what,
            pgherd: json(values),
            why: None,
        },
        Some((patroni, ours)) => {
            let (ours, why) = ours.rsplit_once(" (").unwrap();
            let (patroni, pgherd): (Value, Value) = (json(patroni), json(ours));
            assert_ne!(patroni, pgherd, "line {line}: a difference that is none");
            Look {
                line,
                what,
                pgherd,
                why: why.strip_suffix(')'),
            }
        }
    }
}
