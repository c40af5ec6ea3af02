//! A member's lease in its pod. Kubernetes knows whether a pod is there, and not whether its member lives: so a member of
//! ours beats, in an annotation of its own, and one that has not done so for its ttl is not there. A member of Patroni's does
//! not beat, and is there as long as its pod says so, as it is among Patroni's own.

use std::time::Duration;

use pgherd_domain::Moment;
use serde_json::{Value, json};

use crate::documents::Digest;
use crate::object::Object;
use crate::record::{LEASE, Watched};

/// Whether a member is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Presence {
    /// No member has said anything in this pod, or it has left.
    Absent,
    /// A member of ours that has not beaten for its ttl.
    Ended,
    /// One whose lease is not known: Patroni runs it.
    Foreign,
    /// A member of ours on this lease.
    On(String),
}

/// What a member of ours writes beside its document.
pub(crate) fn lease(lease: &str, ttl: Duration, beat: u64, document: &str) -> String {
    let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    let digest = format!("{:016x}", Digest::of(document));
    json!({"lease": lease, "ttl": ttl, "beat": beat, "of": digest}).to_string()
}

/// Whether the member of a pod is there at `now`, when the answer with it has come.
pub(crate) fn presence(pod: &Object, watched: &Watched, now: Moment) -> Presence {
    let Some(document) = pod.get("status") else {
        return Presence::Absent;
    };
    let read = || {
        let value: Value = serde_json::from_str(pod.get(LEASE)?).ok()?;
        let digest = u64::from_str_radix(value.get("of")?.as_str()?, 16).ok()?;
        // What another program wrote since is not on this lease.
        (digest == Digest::of(document)).then_some(())?;
        let ttl = Duration::from_millis(value.get("ttl")?.as_u64()?);
        Some((value.get("lease")?.as_str()?.to_owned(), ttl))
    };
    let Some((lease, ttl)) = read() else {
        return Presence::Foreign;
    };
    let text = pod.get(LEASE).unwrap_or_default();
    let since = watched.note(&pod.name, pod.number, text, now);
    match now >= since.plus(ttl) {
        true => Presence::Ended,
        false => Presence::On(lease),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    #[test]
    fn a_member_of_ours_ends_without_a_beat_and_one_of_patroni_s_does_not() {
        let (watched, ttl) = (Watched::default(), Duration::from_secs(30));
        let pod = |document: &str, beat: u64, number| Object {
            name: "a".into(),
            number,
            annotations: [
                ("status".to_owned(), document.to_owned()),
                (LEASE.to_owned(), lease("l1", ttl, beat, "{}")),
            ]
            .into(),
            ..Object::default()
        };
        let see = |document: &str, beat, number, now| {
            presence(&pod(document, beat, number), &watched, at(now))
        };
        assert_eq!(
            presence(&Object::default(), &watched, at(1)),
            Presence::Absent
        );
        assert_eq!(see("{}", 1, 5, 100), Presence::On("l1".into()));
        assert_eq!(see("{}", 1, 6, 129), Presence::On("l1".into()));
        assert_eq!(see("{}", 1, 6, 130), Presence::Ended);
        assert_eq!(see("{}", 2, 7, 131), Presence::On("l1".into()));
        // Patroni has taken the pod over: it changes the document and leaves our annotation where it is.
        assert_eq!(see(r#"{"state":"running"}"#, 2, 8, 500), Presence::Foreign);
    }
}
