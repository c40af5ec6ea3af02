//! What logical slots need of this server's configuration: hot_standby_feedback, and from PostgreSQL 17 on its
//! own synchronization of slots.

use std::collections::BTreeMap;

use pgherd_domain::SlotParameters;
use pgherd_ports::AdjustError;

use crate::server::LocalServer;

const FEEDBACK: &str = "hot_standby_feedback";
const SYNCHRONIZE: &str = "sync_replication_slots";
const AWAITED: &str = "synchronized_standby_slots";

impl LocalServer {
    /// Forces the parameters, or gives them back to the operator.
    pub(super) async fn set_slot_parameters(
        &self,
        parameters: &SlotParameters,
    ) -> Result<(), AdjustError> {
        self.want(|wanted| wanted.slot_parameters = Some(parameters.clone()));
        self.write_and_reload(false).await.map(drop)
    }
}

/// Puts the parameters over the operator's. Until the agent has said what is wanted, what an agent before us
/// forced on a `follower` stays: without feedback for a moment the primary could remove rows that copied slots
/// need. What looks as if nobody forced it is the operator's, who may change it any time.
pub(crate) fn force(
    wanted: Option<&SlotParameters>,
    (held, follower): (&BTreeMap<String, String>, bool),
    parameters: &mut BTreeMap<String, String>,
) {
    let mut set = |name: &str, value: &str| {
        parameters.insert(name.to_owned(), value.to_owned());
    };
    let Some(wanted) = wanted else {
        for name in [FEEDBACK, SYNCHRONIZE] {
            if follower && held.get(name).is_some_and(|value| value == "on") {
                set(name, "on");
            }
        }
        if let Some(slots) = held
            .get(AWAITED)
            .filter(|slots| !follower && !slots.is_empty())
        {
            set(AWAITED, slots);
        }
        return;
    };
    if wanted.feedback {
        set(FEEDBACK, "on");
    }
    if wanted.synchronize {
        set(SYNCHRONIZE, "on");
    }
    if let Some(slots) = &wanted.awaited {
        set(AWAITED, slots);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn what_a_former_agent_forced_stays_until_this_one_has_said_what_is_wanted() {
        let mut parameters = map(&[(FEEDBACK, "off")]);
        let forced = map(&[(FEEDBACK, "on")]);
        force(None, (&forced, true), &mut parameters);
        assert_eq!(parameters, forced);
        // The operator turns it on, and nobody has said anything yet.
        let off = map(&[(FEEDBACK, "off")]);
        force(None, (&off, true), &mut parameters);
        assert_eq!(parameters, forced);
        // On a primary it says nothing.
        let mut parameters = off.clone();
        force(None, (&forced, false), &mut parameters);
        assert_eq!(parameters, off);
    }

    #[test]
    fn feedback_is_forced_over_the_operators_value_and_given_back() {
        let mut parameters = map(&[(FEEDBACK, "off")]);
        let forced = SlotParameters {
            feedback: true,
            ..SlotParameters::default()
        };
        force(Some(&forced), (&map(&[]), true), &mut parameters);
        assert_eq!(parameters, map(&[(FEEDBACK, "on")]));
        let mut parameters = map(&[(FEEDBACK, "off")]);
        let held = map(&[(FEEDBACK, "on")]);
        force(
            Some(&SlotParameters::default()),
            (&held, true),
            &mut parameters,
        );
        assert_eq!(parameters, map(&[(FEEDBACK, "off")]));
    }
}
