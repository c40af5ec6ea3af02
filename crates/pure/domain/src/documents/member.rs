//! `/members/<name>`: what a member says of itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{object, text, unsigned};
use crate::{Lsn, PgRole, PgState, Tags, TimelineId, ZoneShortage};

/// Why a member may or may not become primary, published for `pgherd explain`. Ours: Patroni ignores it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerdictDoc {
    /// Whether it may.
    pub eligible: bool,
    /// Every reason against it, each with its inputs, as people read it.
    pub because: Vec<String>,
}

/// The member document (contract §4.4).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MemberDoc {
    /// `postgres://HOST:PORT/DATABASE`
    pub conn_url: String,
    /// `http(s)://HOST:PORT/patroni`
    pub api_url: String,
    /// The state; `None` when its text is not known.
    pub state: Option<PgState>,
    /// The role; `None` when its text is not known.
    pub role: Option<PgRole>,
    /// The agent's version, dotted.
    pub version: String,
    /// URL of a pooler in front.
    pub proxy_url: Option<String>,
    /// A leader that has not checkpointed on its timeline yet: not safe to rewind from.
    pub checkpoint_pending: bool,
    /// Tags as published.
    pub tags: BTreeMap<String, Value>,
    /// Settings that wait for a restart.
    pub pending_restart_reason: BTreeMap<String, (String, String)>,
    /// A restart is pending.
    pub pending_restart: bool,
    /// How far its WAL reaches.
    pub xlog_location: Option<Lsn>,
    /// What a replica received.
    pub receive_lsn: Option<Lsn>,
    /// What a replica replayed.
    pub replay_lsn: Option<Lsn>,
    /// `streaming` or `in archive recovery`.
    pub replication_state: Option<String>,
    /// Its timeline.
    pub timeline: Option<TimelineId>,
    /// A planned restart, as stored.
    pub scheduled_restart: Option<Value>,
    /// It has noticed that the cluster is paused.
    pub pause: bool,
    /// Ours, under the field `pgherd`.
    pub verdict: Option<VerdictDoc>,
    /// Ours, under the field `pgherd`: what the long work is doing, such as `copying 412 of 900 MB`.
    pub progress: Option<String>,
    /// Whom it copies now, when that is a member: the next copy is made from somebody else, if one can.
    pub copies: Option<String>,
    /// Ours, of a leader: too few zones have a standby that commits can wait for.
    pub zones: Option<ZoneShortage>,
    /// Ours, under the field `pgherd`: why no client gets in, such as `closed to clients until b has confirmed ...`.
    pub closed: Option<String>,
}

impl MemberDoc {
    /// Reads the key; what is not understood is absent. The URL of very old members
    /// (`conn_url?application_name=api_url`) is understood too.
    pub fn parse(value: &str) -> Self {
        let Some(map) = object(value) else {
            return Self::legacy(value);
        };
        let lsn = |key: &str| unsigned(map.get(key)).map(Lsn::new);
        let flag = |key: &str| map.get(key).and_then(Value::as_bool) == Some(true);
        let ours = map.get("pgherd").and_then(Value::as_object);
        Self {
            conn_url: text(map.get("conn_url")).unwrap_or_default(),
            api_url: text(map.get("api_url")).unwrap_or_default(),
            state: text(map.get("state")).and_then(|state| PgState::from_text(&state)),
            role: text(map.get("role")).and_then(|role| PgRole::from_text(&role)),
            version: text(map.get("version")).unwrap_or_default(),
            proxy_url: text(map.get("proxy_url")),
            checkpoint_pending: map.get("checkpoint_after_promote") == Some(&Value::Bool(false)),
            tags: map
                .get("tags")
                .and_then(Value::as_object)
                .map(pairs)
                .unwrap_or_default(),
            pending_restart_reason: map
                .get("pending_restart_reason")
                .and_then(Value::as_object)
                .map(pending_reasons)
                .unwrap_or_default(),
            pending_restart: flag("pending_restart"),
            xlog_location: lsn("xlog_location"),
            receive_lsn: lsn("receive_lsn"),
            replay_lsn: lsn("replay_lsn"),
            replication_state: text(map.get("replication_state")),
            timeline: unsigned(map.get("timeline"))
                .and_then(|timeline| u32::try_from(timeline).ok())
                .map(TimelineId),
            scheduled_restart: map.get("scheduled_restart").cloned(),
            pause: flag("pause"),
            verdict: ours.and_then(|ours| verdict(ours.get("verdict"))),
            progress: ours.and_then(|ours| text(ours.get("progress"))),
            copies: ours.and_then(|ours| text(ours.get("copies"))),
            zones: ours.and_then(|ours| shortage(ours.get("zones"))),
            closed: ours.and_then(|ours| text(ours.get("closed"))),
        }
    }

    fn legacy(value: &str) -> Self {
        let (conn_url, query) = value.split_once('?').unwrap_or((value, ""));
        let api_url = query.strip_prefix("application_name=").unwrap_or_default();
        Self {
            conn_url: conn_url.into(),
            api_url: api_url.into(),
            ..Self::default()
        }
    }

    /// The compact JSON that is written.
    pub fn render(&self) -> String {
        let mut map = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                map.insert(key.into(), value);
            }
        };
        let yes = |on: bool| on.then_some(Value::Bool(true));
        let lsn = |lsn: Option<Lsn>| lsn.map(|lsn| lsn.as_u64().into());
        put("conn_url", Some(self.conn_url.clone().into()));
        put("api_url", Some(self.api_url.clone().into()));
        put("state", self.state.map(|state| state.text().into()));
        put("role", self.role.map(|role| role.text().into()));
        put("version", Some(self.version.clone().into()));
        put("proxy_url", self.proxy_url.clone().map(Into::into));
        put(
            "checkpoint_after_promote",
            self.checkpoint_pending.then_some(Value::Bool(false)),
        );
        put(
            "tags",
            (!self.tags.is_empty()).then(|| self.tags.clone().into_iter().collect()),
        );
        put("pending_restart", yes(self.pending_restart));
        put(
            "pending_restart_reason",
            reasons_json(&self.pending_restart_reason),
        );
        put("xlog_location", lsn(self.xlog_location));
        put("receive_lsn", lsn(self.receive_lsn));
        put("replay_lsn", lsn(self.replay_lsn));
        put(
            "replication_state",
            self.replication_state.clone().map(Into::into),
        );
        put("timeline", self.timeline.map(|timeline| timeline.0.into()));
        put("scheduled_restart", self.scheduled_restart.clone());
        put("pause", yes(self.pause));
        put("pgherd", self.ours());
        Value::Object(map).to_string()
    }

    fn ours(&self) -> Option<Value> {
        let mut map = Map::new();
        if let Some(verdict) = &self.verdict {
            let mut inner = Map::new();
            inner.insert("eligible".into(), verdict.eligible.into());
            if !verdict.because.is_empty() {
                inner.insert("because".into(), verdict.because.clone().into());
            }
            map.insert("verdict".into(), inner.into());
        }
        if let Some(progress) = &self.progress {
            map.insert("progress".into(), progress.clone().into());
        }
        if let Some(copies) = &self.copies {
            map.insert("copies".into(), copies.clone().into());
        }
        if let Some(zones) = &self.zones {
            let mut inner = Map::new();
            inner.insert("covered".into(), zones.covered.into());
            inner.insert("wanted".into(), zones.wanted.into());
            inner.insert("waits".into(), zones.waits.into());
            map.insert("zones".into(), inner.into());
        }
        if let Some(closed) = &self.closed {
            map.insert("closed".into(), closed.clone().into());
        }
        (!map.is_empty()).then_some(Value::Object(map))
    }

    /// Its tags, with conflicts resolved.
    pub fn tags(&self) -> Tags {
        Tags::from_published(&self.tags)
    }

    /// Whether its PostgreSQL runs, as far as it said.
    pub fn is_running(&self) -> bool {
        self.state == Some(PgState::Running)
    }

    /// Host and port of `conn_url`.
    pub fn address(&self) -> Option<(String, u16)> {
        let rest = self.conn_url.split_once("://")?.1;
        let authority = rest.split(['/', '?']).next()?;
        let authority = authority.rsplit('@').next()?;
        match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                Some((host.trim_matches(['[', ']']).into(), port.parse().ok()?))
            }
            Some(_) | None => Some((authority.trim_matches(['[', ']']).into(), 5432)),
        }
    }
}

fn pairs(map: &Map<String, Value>) -> BTreeMap<String, Value> {
    map.iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn pending_reasons(map: &Map<String, Value>) -> BTreeMap<String, (String, String)> {
    let plain = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    map.iter()
        .map(|(name, change)| {
            (
                name.clone(),
                (
                    plain(change.get("old_value")),
                    plain(change.get("new_value")),
                ),
            )
        })
        .collect()
}

fn reasons_json(reasons: &BTreeMap<String, (String, String)>) -> Option<Value> {
    let map: Map<String, Value> = reasons
        .iter()
        .map(|(name, (old, new))| {
            let mut change = Map::new();
            change.insert("old_value".into(), old.clone().into());
            change.insert("new_value".into(), new.clone().into());
            (name.clone(), change.into())
        })
        .collect();
    (!map.is_empty()).then_some(Value::Object(map))
}

fn shortage(value: Option<&Value>) -> Option<ZoneShortage> {
    let map = value?.as_object()?;
    let number = |key: &str| usize::try_from(unsigned(map.get(key))?).ok();
    Some(ZoneShortage {
        covered: number("covered")?,
        wanted: number("wanted")?,
        waits: map.get("waits")?.as_bool()?,
    })
}

fn verdict(value: Option<&Value>) -> Option<VerdictDoc> {
    let map = value?.as_object()?;
    let because = map
        .get("because")
        .and_then(Value::as_array)
        .map_or_else(Vec::new, |reasons| {
            reasons
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        });
    Some(VerdictDoc {
        eligible: map.get("eligible")?.as_bool()?,
        because,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_of_patroni_reads_back_what_it_wrote() {
        let text = concat!(
            r#"{"conn_url":"postgres://10.0.1.10:5432/postgres","#,
            r#""api_url":"http://10.0.1.10:8008/patroni","state":"running","role":"primary","#,
            r#""version":"4.1.4","checkpoint_after_promote":false,"tags":{"clonefrom":true},"#,
            r#""xlog_location":67108864,"timeline":2}"#
        );
        let doc = MemberDoc::parse(text);
        assert_eq!(doc.render(), text);
        assert_eq!(doc.address(), Some(("10.0.1.10".into(), 5432)));
        assert!(doc.checkpoint_pending && doc.is_running());
    }

    #[test]
    fn an_ipv6_address_loses_its_brackets() {
        let doc = MemberDoc {
            conn_url: "postgres://[fd00::1]:5433/db".into(),
            ..MemberDoc::default()
        };
        assert_eq!(doc.address(), Some(("fd00::1".into(), 5433)));
    }

    #[test]
    fn the_legacy_url_and_garbage_are_tolerated() {
        let doc = MemberDoc::parse("postgres://h:1/d?application_name=http://h:8008/patroni");
        assert_eq!(doc.api_url, "http://h:8008/patroni");
        assert_eq!(MemberDoc::parse("[1,2]").state, None);
    }
}
