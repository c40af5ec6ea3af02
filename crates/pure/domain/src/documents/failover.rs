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
            let legacy = !value.trim_start().starts_with(['{', '[', '"']);
            let (leader, member) = value.split_once(':').filter(|_| legacy)?;
            return Self::of(name(leader)?, name(member)?, None);
        };
        let given = |key| match map.get(key) {
            None | Some(Value::Null) => Some(String::new()),
            given => text(given),
        };
        let schedule = given("scheduled_at")?;
        let scheduled_at = match WallTime::parse(&schedule) {
            Some(at) => Some(Schedule { text: schedule, at }),
            None if schedule.is_empty() => None,
            None => return None,
        };
        Self::of(
            name(&given("leader")?)?,
            name(&given("member")?)?,
            scheduled_at,
        )
    }

    fn of(
        leader: Option<MemberName>,
        member: Option<MemberName>,
        scheduled_at: Option<Schedule>,
    ) -> Option<Self> {
        (leader.is_some() || member.is_some()).then_some(Self {
            leader,
            member,
            scheduled_at,
        })
    }

    /// Whether a value gives no order because it is not understood, not because there is none.
    pub fn is_garbage(value: &str) -> bool {
        Self::parse(value).is_none() && !matches!(value.trim(), "" | "{}")
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

/// A name, or none where there is no text; `None` for what no member is called.
fn name(text: &str) -> Option<Option<MemberName>> {
    match text.trim() {
        "" => Some(None),
        text => MemberName::new(text).ok().map(Some),
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
    fn an_order_of_which_a_part_is_not_understood_is_none() {
        for text in [
            r#"{"leader":"a","member":"b","scheduled_at":"tomorrow"}"#,
            r#"{"leader":"a","member":"b","scheduled_at":5}"#,
            r#"{"leader":5,"member":"b"}"#,
            r#"{"leader":"x/y","member":"b"}"#,
            r#"{"leader":"a","member":["b"]}"#,
            r#"{"leader":"a","member":"b""#,
            "a/b:c",
            "x",
        ] {
            assert_eq!(FailoverDoc::parse(text), None, "{text}");
            assert!(FailoverDoc::is_garbage(text), "{text}");
        }
        let manual = r#"{"leader":null,"member":"b","scheduled_at":""}"#;
        let manual = FailoverDoc::parse(manual).unwrap();
        assert!(!manual.is_switchover() && manual.scheduled_at.is_none());
        assert!(!FailoverDoc::is_garbage("{}"));
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
