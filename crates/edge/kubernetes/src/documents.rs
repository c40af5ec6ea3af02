//! Keys as annotations: what Patroni writes into each of them, and back (contract §4.9).

use pgherd_ports::Key;
use serde_json::{Map, Value};

use crate::object::Object;

/// Annotations of a key, in a fixed order.
pub(crate) const fn annotations(key: &Key) -> &'static [&'static str] {
    match key {
        Key::Initialize => &["initialize"],
        Key::Leader => &["leader"],
        Key::Config => &["config"],
        Key::History => &["history"],
        Key::Failsafe => &["failsafe"],
        Key::Dr => &["pgherd_dr"],
        Key::Status => &["optime", "slots", "retain_slots"],
        Key::Failover => &["leader", "member", "scheduled_at"],
        Key::Sync => &["leader", "quorum", "sync_standby"],
        Key::Member(_) => &["status"],
    }
}

/// Whether the value is spread over several annotations.
const fn is_spread(key: &Key) -> bool {
    matches!(key, Key::Status | Key::Failover | Key::Sync)
}

/// The value of a key out of its object; `None` where nothing is said.
pub(crate) fn value(key: &Key, object: &Object) -> Option<String> {
    let names = annotations(key);
    if !is_spread(key) {
        return names
            .first()
            .and_then(|name| object.get(name))
            .map(str::to_owned);
    }
    let given = names
        .iter()
        .filter_map(|name| Some((*name, object.get(name)?)));
    let map: Map<String, Value> = given
        .map(|(name, text)| (name.to_owned(), typed(name, text)))
        .collect();
    (!map.is_empty()).then(|| Value::Object(map).to_string())
}

/// The value of a key whose annotations are all gone although it is there: it was cleared.
pub(crate) fn cleared(key: &Key) -> String {
    match is_spread(key) {
        true => "{}".to_owned(),
        false => String::new(),
    }
}

/// Numbers and lists are texts in annotations; what is none stays a text, which readers take for nothing.
fn typed(name: &str, text: &str) -> Value {
    let parsed = match name {
        "optime" | "quorum" => text.trim().parse::<u64>().ok().map(Value::from),
        "slots" | "retain_slots" => serde_json::from_str(text).ok(),
        _ => None,
    };
    parsed.unwrap_or_else(|| text.into())
}

/// What annotations a value makes; `None` takes one away.
pub(crate) fn written(key: &Key, value: Option<&str>) -> Vec<(&'static str, Option<String>)> {
    let names = annotations(key).iter();
    if !is_spread(key) {
        return names
            .map(|name| (*name, value.map(str::to_owned)))
            .collect();
    }
    let parsed = value.and_then(|text| serde_json::from_str(text).ok());
    let map = match (key, parsed) {
        (_, Some(Value::Object(map))) => map,
        // The position alone, as it was written long ago.
        (Key::Status, Some(Value::Number(optime))) => {
            Map::from_iter([("optime".to_owned(), optime.into())])
        }
        (_, Some(_) | None) => Map::new(),
    };
    names
        .map(|name| (*name, map.get(*name).and_then(text)))
        .collect()
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Some(other.to_string())
        }
    }
}

/// A number that tells whether the annotations of a key are as somebody left them.
pub(crate) fn digest<'a>(key: &Key, get: impl Fn(&str) -> Option<&'a str>) -> u64 {
    let mut sum = Digest::default();
    for name in annotations(key) {
        sum.add(name);
        sum.add(get(name).map_or("", |text| text));
        sum.add(if get(name).is_some() { "+" } else { "-" });
    }
    sum.0
}

/// FNV-1a: two texts that somebody wrote one after the other are told apart; nobody forges them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Digest(pub(crate) u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// Adds a text, and its end.
    pub(crate) fn add(&mut self, text: &str) {
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Of one text.
    pub(crate) fn of(text: &str) -> u64 {
        let mut sum = Self::default();
        sum.add(text);
        sum.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(key: &Key, text: &str) -> Option<String> {
        let annotations = written(key, Some(text)).into_iter();
        let object = Object {
            annotations: annotations
                .filter_map(|(name, text)| Some((name.to_owned(), text?)))
                .collect(),
            ..Object::default()
        };
        value(key, &object)
    }

    #[test]
    fn values_come_back_as_they_were() {
        for (key, text) in [
            (Key::Config, r#"{"ttl":30}"#),
            (Key::Initialize, ""),
            (Key::Dr, "[{}]"),
            (Key::Failsafe, r#"{"a":"http://a:8008/patroni"}"#),
            (Key::Failover, r#"{"leader":"a","member":"b"}"#),
            (
                Key::Sync,
                r#"{"leader":"a","quorum":1,"sync_standby":"b,c"}"#,
            ),
            (
                Key::Status,
                r#"{"optime":67108864,"slots":{"b":67108000},"retain_slots":["c"]}"#,
            ),
        ] {
            assert_eq!(round(&key, text).as_deref(), Some(text));
        }
        let sync = written(
            &Key::Sync,
            Some(r#"{"leader":"a","quorum":0,"sync_standby":null}"#),
        );
        assert_eq!(
            sync,
            [
                ("leader", Some("a".to_owned())),
                ("quorum", Some("0".to_owned())),
                ("sync_standby", None)
            ]
        );
        assert_eq!(round(&Key::Status, "5").as_deref(), Some(r#"{"optime":5}"#));
    }

    #[test]
    fn garbage_is_nothing() {
        for text in ["", "[", "null", "42x", "\"text\"", "[[1]]", "{}"] {
            for key in [Key::Failover, Key::Sync, Key::Status] {
                assert_eq!(round(&key, text), None, "{key:?} {text}");
            }
        }
    }

    #[test]
    fn a_digest_tells_nothing_from_an_empty_text() {
        let of = |text: Option<&'static str>| digest(&Key::Initialize, |_| text);
        assert_ne!(of(None), of(Some("")));
        assert_eq!(of(Some("a")), of(Some("a")));
    }
}
