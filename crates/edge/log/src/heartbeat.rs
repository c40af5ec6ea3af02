//! Lines that say again what was said a moment ago (contract §1.7).

use crate::record::Record;

/// Decides which records are worth a line.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats {
    /// Drop a heartbeat that says what the one before said.
    pub(crate) once: bool,
    last: Option<String>,
}

impl Heartbeats {
    /// Whether the record is worth a line.
    pub(crate) fn admit(&mut self, record: &Record) -> bool {
        if record.level != "INFO" || !is_heartbeat(&record.message) {
            self.last = None;
            return true;
        }
        let is_same = self.last.as_ref() == Some(&record.message);
        if !is_same {
            self.last = Some(record.message.clone());
        }
        !(self.once && is_same)
    }
}

/// The line of a turn in which nothing was done.
fn is_heartbeat(message: &str) -> bool {
    message.starts_with("no action. ") || message.starts_with("PAUSE: no action")
}

#[cfg(test)]
mod tests {
    use pgherd_domain::WallTime;

    use super::*;

    #[test]
    fn an_equal_heartbeat_is_dropped_until_something_else_was_said() {
        let admitted = |once: bool| -> Vec<bool> {
            let mut heartbeats = Heartbeats {
                once,
                ..Heartbeats::default()
            };
            [
                "no action. I am (a)",
                "no action. I am (a)",
                "promoted",
                "no action. I am (a)",
                "PAUSE: no action. I am (a)",
            ]
            .map(|text| {
                heartbeats.admit(&Record::own(WallTime::from_micros(0), "INFO", text.into()))
            })
            .into()
        };
        assert_eq!(admitted(true), [true, false, true, true, true]);
        assert_eq!(admitted(false), [true; 5]);
    }
}
