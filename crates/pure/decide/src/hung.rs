//! PostgreSQL waits for a command of the operator's that does not end: nothing is done about it, because only the
//! operator knows whether it hangs, but everybody sees what a member waits for.

use pgherd_domain::Notice;

use crate::turn::Turn;

impl Turn<'_> {
    /// Told once, when it begins to hold; the member key shows it as long as it does.
    pub(crate) fn tell_hung_command(&mut self) {
        let Some(hung) = &self.pg().hung else { return };
        self.notice(Notice::warn(format!(
            "PostgreSQL waits for {hung}: it comes no further until that has ended. If it hangs, end the process and \
             correct {}; a replica can be made anew with `pgherd reinit`",
            hung.setting
        )));
    }

    /// What the member key says of it.
    pub(crate) fn waits_for(&self) -> Option<String> {
        let hung = self.pg().hung.as_ref()?;
        Some(format!("waits for {hung}"))
    }
}
