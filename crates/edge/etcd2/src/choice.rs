//! Which of etcd's two APIs a cluster is in, where the section is `etcd`. Two members that chose differently would see
//! nothing of each other, and both would lead: so what is not certain is refused, with what to do about it
//! (`docs/decisions/2026-11-27-etcd-v2.md`).

use pgherd_etcd::{Api, Traces};

/// What there is of the old API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Old {
    /// At least one server has it.
    On {
        /// The cluster has a system identifier there, or is about to get one.
        initialized: bool,
        /// Somebody leads it there.
        led: bool,
    },
    /// All servers answered that they do not have it.
    Off,
    /// No server that answered has it; the text says which did not answer.
    Unknown(String),
}

/// What was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) api: Api,
    /// Whether members agreed on it before, or can not: nothing is to be written down.
    pub(crate) agreed: bool,
}

impl Choice {
    /// Without a word to others, who see the same.
    pub(crate) const fn alone(api: Api) -> Self {
        Self { api, agreed: true }
    }

    const fn new(api: Api) -> Self {
        Self { api, agreed: false }
    }
}

/// Chooses. What members agreed on counts; else where the cluster is; else the old API, if there is one.
///
/// # Errors
/// Why nothing can be chosen, and what to do.
pub(crate) fn choose(old: &Old, today: Traces) -> Result<Choice, String> {
    match (today.agreed, old) {
        (Some(Api::V2), Old::On { .. }) => Ok(Choice::alone(Api::V2)),
        (Some(Api::V2), Old::Off | Old::Unknown(_)) => Err(
            "this cluster is in etcd's API v2 (its key `pgherd_api` in API v3 says so), and no server of etcd that answers \
             has it switched on. Start all of them with `--enable-v2=true`"
                .to_owned(),
        ),
        (Some(Api::V3), Old::On { led: true, .. }) => Err(
            "somebody leads this cluster by etcd's API v2, although its members have agreed on v3 (key `pgherd_api`): two \
             would lead. Stop whoever uses v2, or move it to section `etcd3`; or, when all members are to use v2, stop all \
             and delete the cluster's keys in API v3"
                .to_owned(),
        ),
        (Some(Api::V3), _) => Ok(Choice::alone(Api::V3)),
        (None, old) => by_traces(old, today).map(Choice::new),
    }
}

fn by_traces(old: &Old, today: Traces) -> Result<Api, String> {
    let in_today = today.initialized || today.led;
    match old {
        Old::Off => Ok(Api::V3),
        // It has been there before; a new one might begin twice.
        Old::Unknown(_) if in_today => Ok(Api::V3),
        Old::Unknown(silent) => Err(format!(
            "not every server of etcd answers ({silent}), and those that do have API v2 switched off: so it is not known \
             whether this cluster, of which v3 has nothing, is in v2. Get them to answer, or leave them out of the settings; \
             or name the section `etcd3` on all members, when nobody uses v2"
        )),
        Old::On { initialized, led } => match (*initialized || *led, in_today) {
            (true, false) | (false, false) => Ok(Api::V2),
            (false, true) => Ok(Api::V3),
            (true, true) if *led && !today.led => Ok(Api::V2),
            (true, true) if today.led && !*led => Ok(Api::V3),
            (true, true) => Err(
                "keys of this cluster are in etcd's API v2 and in v3, and it is not to be seen which of them count. If it is \
                 in v3, name the section `etcd3` on all members; if it is in v2, delete its keys in v3 (`etcdctl del \
                 --prefix`)"
                    .to_owned(),
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Traces = Traces {
        initialized: false,
        led: false,
        agreed: None,
    };
    const THERE: Traces = Traces {
        initialized: true,
        ..NEW
    };
    const LED: Traces = Traces { led: true, ..THERE };

    const fn on(initialized: bool, led: bool) -> Old {
        Old::On { initialized, led }
    }

    fn api(old: &Old, today: Traces) -> Option<Api> {
        choose(old, today).ok().map(|choice| choice.api)
    }

    #[test]
    fn a_new_cluster_is_in_the_old_api_where_there_is_one() {
        assert_eq!(api(&on(false, false), NEW), Some(Api::V2));
        assert_eq!(api(&Old::Off, NEW), Some(Api::V3));
        let silent = Old::Unknown("http://e2: no answer".to_owned());
        let why = choose(&silent, NEW).unwrap_err();
        assert!(why.contains("http://e2: no answer"), "{why}");
    }

    #[test]
    fn a_cluster_stays_where_it_is() {
        for (initialized, led) in [(true, false), (true, true), (false, true)] {
            assert_eq!(api(&on(initialized, led), NEW), Some(Api::V2));
        }
        for today in [THERE, LED] {
            assert_eq!(api(&on(false, false), today), Some(Api::V3));
            assert_eq!(api(&Old::Off, today), Some(Api::V3));
            assert_eq!(api(&Old::Unknown(String::new()), today), Some(Api::V3));
        }
    }

    #[test]
    fn of_two_traces_that_counts_by_which_somebody_leads() {
        assert_eq!(api(&on(true, true), THERE), Some(Api::V2));
        assert_eq!(api(&on(true, false), LED), Some(Api::V3));
        assert_eq!(api(&on(true, false), THERE), None);
        assert_eq!(api(&on(true, true), LED), None);
    }

    /// Whatever else two members see, and whenever they look: with an agreement neither comes to another answer.
    #[test]
    fn what_members_agreed_on_is_never_left() {
        let olds = [
            on(false, false),
            on(true, false),
            on(false, true),
            on(true, true),
            Old::Off,
            Old::Unknown(String::new()),
        ];
        for agreed in [Api::V2, Api::V3] {
            for today in [NEW, THERE, LED] {
                for old in &olds {
                    let agreed_on = Traces {
                        agreed: Some(agreed),
                        ..today
                    };
                    let chosen = api(old, agreed_on);
                    assert!(
                        chosen.is_none_or(|chosen| chosen == agreed),
                        "{old:?} {today:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_leader_that_the_agreement_does_not_know_of_is_told() {
        let agreed = |api| Traces {
            agreed: Some(api),
            ..LED
        };
        let why = choose(&on(true, true), agreed(Api::V3)).unwrap_err();
        assert!(why.contains("two would lead"), "{why}");
        let why = choose(&Old::Off, agreed(Api::V2)).unwrap_err();
        assert!(why.contains("--enable-v2=true"), "{why}");
    }
}
