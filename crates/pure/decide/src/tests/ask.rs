//! What a test asks of a decision.

use pgherd_domain::{Action, Question, Work};

use crate::Decision;

impl Decision {
    /// The work that it begins.
    pub(super) fn begins(&self) -> Option<&Work> {
        self.actions.iter().find_map(|action| match action {
            Action::Begin(work) => Some(work),
            _ => None,
        })
    }

    pub(super) fn does(&self, wanted: &Action) -> bool {
        self.actions.contains(wanted)
    }

    pub(super) fn any(&self, wanted: impl Fn(&Action) -> bool) -> bool {
        self.actions.iter().any(wanted)
    }

    /// Everything but what is shown and asked.
    pub(super) fn effects(&self) -> Vec<Action> {
        self.actions
            .iter()
            .filter(|action| !matches!(action, Action::PublishMember(_) | Action::Ask(_)))
            .cloned()
            .collect()
    }

    /// Whom it asks.
    pub(super) fn asks(&self) -> Vec<String> {
        self.actions
            .iter()
            .filter_map(|action| match action {
                Action::Ask(Question::Peer { name, .. }) => Some(name.to_string()),
                Action::Ask(Question::History(of)) => Some(format!("history of {of}")),
                _ => None,
            })
            .collect()
    }

    /// All reasons, as people read them.
    pub(super) fn says(&self) -> String {
        let lines: Vec<String> = self.because.iter().map(ToString::to_string).collect();
        lines.join("; ")
    }
}
