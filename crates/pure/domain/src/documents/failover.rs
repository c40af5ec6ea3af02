//! `/failover`: an order for a switchover or a manual failover.

use serde_json::{Map, Value};

use super::{object, text};
use crate::{MemberName, WallTime};

/// A planned moment: as it was written, and as it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// ISO 8601 with an offset, as the operator gave it.
    pub text: String,
    /// The moment.
    pub at: WallTime,
}

/// `{"leader": from, "member": to, "scheduled_at": when}` (contract §4.3). With `leader` it is a
/// switchover, without one a manual failover.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FailoverDoc {
    /// The leader that is to step down.
    pub leader: Option<MemberName>,
    /// The member that is to take over.
    pub member: Option<MemberName>,
    /// When; at once when absent.
    pub scheduled_at: Option<Schedule>,
}

impl FailoverDoc {
    /// Reads the key. `None` when it is cleared (`{}`) or not understood.
    pub fn parse(value: &str) -> Option<Self> {
        let Some(map) = object(value) else {
            let (leader, member) = value.split_once(':')?;
            let doc = Self {
                leader: MemberName::new(leader.trim()).ok(),
                member: MemberName::new(member.trim()).ok(),
                scheduled_at: None,
            };
            return (doc != Self::default()).then_some(doc);
        };
        let name = |key| text(map.get(key)).and_then(|name| MemberName::new(&name).ok());
        let scheduled_at = text(map.get("scheduled_at")).and_then(|text| {
            Some(Schedule {
                at: WallTime::parse(&text)?,
                text,
            })
        });
        let doc = Self {
            leader: name("leader"),
            member: name("member"),
            scheduled_at,
        };
        (doc.leader.is_some() || doc.member.is_some()).then_some(doc)
    }

    /// The compact JSON that is written; `{}` for the empty document, which means "cleared".
    pub fn render(&self) -> String {
        let mut map = Map::new();
        if let Some(leader) = &self.leader {
            map.insert("leader".into(), leader.as_str().into());
        }
        if let Some(member) = &self.member {
            map.insert("member".into(), member.as_str().into());
        }
        if let Some(schedule) = &self.scheduled_at {
            map.insert("scheduled_at".into(), schedule.text.clone().into());
        }
        Value::Object(map).to_string()
    }

    /// Whether this names a leader that is to step down.
    pub const fn is_switchover(&self) -> bool {
        self.leader.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cleared_key_and_garbage_are_no_order() {
        for text in ["{}", "", "[]", "null", ":"] {
            assert_eq!(FailoverDoc::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_legacy_text_is_a_switchover() {
        let doc = FailoverDoc::parse("a:b").unwrap();
        assert_eq!(doc.render(), r#"{"leader":"a","member":"b"}"#);
        assert!(doc.is_switchover());
    }

    #[test]
    fn a_schedule_keeps_its_text() {
        let text = r#"{"leader":"a","scheduled_at":"2026-11-24T05:00:00+02:00"}"#;
        let doc = FailoverDoc::parse(text).unwrap();
        assert_eq!(doc.render(), text);
        assert_eq!(
            doc.scheduled_at.unwrap().at.iso(),
            "2026-11-24T03:00:00.000000+00:00"
        );
    }
}
