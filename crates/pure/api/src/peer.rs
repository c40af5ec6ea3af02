//! What a race needs of another member, read from its status document (contract §5.4, §16.5).

use std::collections::BTreeMap;

use pgherd_domain::{Lsn, PeerStatus, PgRole, PgState, Tags, TimelineId};
use serde_json::Value;

/// Why a reply can not be used. For a race such a member is unreachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotUsable {
    /// Not a JSON object.
    #[error("the reply is not a JSON object")]
    NotAnObject,
    /// Without WAL positions: PostgreSQL on that member does not answer its agent.
    #[error("the reply has no `xlog`: PostgreSQL on that member does not answer")]
    NoPositions,
}

/// Reads a status document of a member of either kind. Old members say `wal` for `xlog`.
///
/// # Errors
/// When it is no status document, or one without WAL positions.
pub fn parse(text: &str) -> Result<PeerStatus, NotUsable> {
    let Ok(Value::Object(doc)) = serde_json::from_str(text) else {
        return Err(NotUsable::NotAnObject);
    };
    let xlog = doc
        .get("xlog")
        .or_else(|| doc.get("wal"))
        .and_then(Value::as_object)
        .ok_or(NotUsable::NoPositions)?;
    let position = |name: &str| xlog.get(name).and_then(Value::as_u64).map(Lsn::new);
    let word = |name: &str| doc.get(name).and_then(Value::as_str);
    let role = word("role").and_then(PgRole::from_text);
    let tags: BTreeMap<String, Value> = doc
        .get("tags")
        .and_then(Value::as_object)
        .map(|tags| {
            tags.iter()
                .map(|(name, tag)| (name.clone(), tag.clone()))
                .collect()
        })
        .unwrap_or_default();
    let tags = Tags::from_published(&tags);
    let location = position("location");
    let replica = position("received_location").max(position("replayed_location"));
    let timeline = doc.get("timeline").and_then(Value::as_u64);
    Ok(PeerStatus {
        state: word("state").and_then(PgState::from_text),
        role,
        is_primary: location.is_some() || role == Some(PgRole::Primary),
        position: location.or(replica).unwrap_or_default(),
        timeline: timeline
            .and_then(|number| u32::try_from(number).ok())
            .map(TimelineId),
        nofailover: tags.nofailover,
        failover_priority: tags.failover_priority,
        watchdog_failed: doc
            .get("watchdog_failed")
            .and_then(Value::as_bool)
            .unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_as_far_as_the_better_of_its_positions() {
        let status = parse(concat!(
            r#"{"state": "running", "role": "replica", "server_version": 150018, "#,
            r#""xlog": {"received_location": 200, "replayed_location": 100, "paused": false}, "#,
            r#""timeline": 3, "tags": {"failover_priority": 5}, "watchdog_failed": true}"#
        ))
        .unwrap();
        assert_eq!(status.position, Lsn::new(200));
        assert_eq!(status.timeline, Some(TimelineId(3)));
        assert_eq!(status.failover_priority, 5);
        assert!(!status.is_primary && !status.nofailover && status.watchdog_failed);
    }

    #[test]
    fn a_primary_is_known_by_its_position_whatever_its_role_says() {
        let status = parse(r#"{"role": "replica", "wal": {"location": 7}}"#).unwrap();
        assert!(status.is_primary);
        assert_eq!(status.position, Lsn::new(7));
    }

    #[test]
    fn a_reply_without_positions_is_not_usable() {
        assert_eq!(
            parse(r#"{"state": "starting", "role": "replica"}"#),
            Err(NotUsable::NoPositions)
        );
        for garbage in ["", "[]", "null", "<html>"] {
            assert_eq!(parse(garbage), Err(NotUsable::NotAnObject), "{garbage}");
        }
    }
}
