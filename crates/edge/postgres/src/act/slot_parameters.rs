//! What logical slots need of this server's configuration: hot_standby_feedback, and from PostgreSQL 17 on its
//! own synchronization of slots.

use std::collections::BTreeMap;

use pgherd_domain::SlotParameters;
use pgherd_ports::AdjustError;
use rustix::process::Signal;

use super::not_written;
use crate::configuration::FilesFor;
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
        let Some(postmaster) = self.postmaster().await else {
            return Err(AdjustError::NotAnswering("it does not run".to_owned()));
        };
        let files_for = if self.place.is_standby() {
            FilesFor::SameFollower
        } else {
            FilesFor::Primary
        };
        let changed = self
            .write_configuration(&files_for)
            .await
            .map_err(|error| not_written(&error))?;
        if changed {
            postmaster
                .signal(Signal::HUP)
                .map_err(|error| AdjustError::NotAnswering(error.to_string()))?;
            self.tell_reloaded().await;
        }
        Ok(())
    }
}

/// Puts the parameters over the operator's. Until the agent has said what is wanted, what an agent before us
/// forced stays: without feedback for a moment the primary could remove rows that copied slots need.
pub(crate) fn force(
    wanted: Option<&SlotParameters>,
    held: &BTreeMap<String, String>,
    parameters: &mut BTreeMap<String, String>,
) {
    let mut set = |name: &str, value: &str| {
        parameters.insert(name.to_owned(), value.to_owned());
    };
    let Some(wanted) = wanted else {
        for name in [FEEDBACK, SYNCHRONIZE, AWAITED] {
            if let Some(value) = held.get(name) {
                set(name, value);
            }
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
        force(None, &map(&[(FEEDBACK, "on")]), &mut parameters);
        assert_eq!(parameters, map(&[(FEEDBACK, "on")]));
    }

    #[test]
    fn feedback_is_forced_over_the_operators_value_and_given_back() {
        let mut parameters = map(&[(FEEDBACK, "off")]);
        let forced = SlotParameters {
            feedback: true,
            ..SlotParameters::default()
        };
        force(Some(&forced), &map(&[]), &mut parameters);
        assert_eq!(parameters, map(&[(FEEDBACK, "on")]));
        let mut parameters = map(&[(FEEDBACK, "off")]);
        let held = map(&[(FEEDBACK, "on")]);
        force(Some(&SlotParameters::default()), &held, &mut parameters);
        assert_eq!(parameters, map(&[(FEEDBACK, "off")]));
    }
}
