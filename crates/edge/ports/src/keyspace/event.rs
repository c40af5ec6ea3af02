//! Which changes wake the loop (contract §4.8).

use pgherd_domain::MemberName;
use pgherd_domain::documents::MemberDoc;

use super::view;

/// One change of one key below the prefix.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Below the prefix.
    pub path: &'a str,
    /// The value before; `None`: it was not there, or is not known.
    pub before: Option<&'a str>,
    /// The value after; `None`: it is gone.
    pub after: Option<&'a str>,
}

impl Event<'_> {
    /// Whether the loop must look at it now. Positions change all the time and are looked at anyway.
    pub fn wakes(&self, me: Option<&MemberName>) -> bool {
        match self.path {
            "leader" | "config" | "failover" | "sync" | "initialize" | "history" => true,
            path => view::member(path).is_some_and(|name| self.wakes_of_member(&name, me)),
        }
    }

    fn wakes_of_member(&self, name: &MemberName, me: Option<&MemberName>) -> bool {
        match (self.before, self.after) {
            // What I say of myself is no news; that my key is gone is.
            (_, Some(_)) if me == Some(name) => false,
            (Some(before), Some(after)) => {
                essence(&MemberDoc::parse(before)) != essence(&MemberDoc::parse(after))
            }
            (None, _) | (_, None) => true,
        }
    }
}

/// A member without what changes with every write to the database.
fn essence(doc: &MemberDoc) -> MemberDoc {
    MemberDoc {
        xlog_location: None,
        receive_lsn: None,
        replay_lsn: None,
        replication_state: None,
        verdict: None,
        progress: None,
        ..doc.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: &str = r#"{"state":"running","role":"replica","xlog_location":1}"#;

    fn wakes(path: &str, before: Option<&str>, after: Option<&str>) -> bool {
        let me = MemberName::new("me").unwrap();
        let event = Event {
            path,
            before,
            after,
        };
        event.wakes(Some(&me))
    }

    #[test]
    fn what_decisions_depend_on_wakes() {
        for key in [
            "leader",
            "config",
            "failover",
            "sync",
            "initialize",
            "history",
        ] {
            assert!(wakes(key, Some("x"), Some("y")), "{key}");
            assert!(wakes(key, Some("x"), None), "{key}");
        }
        for key in [
            "status",
            "optime/leader",
            "failsafe",
            "pgherd/x",
            "members/",
        ] {
            assert!(!wakes(key, None, Some("1")), "{key}");
        }
    }

    #[test]
    fn a_member_wakes_others_when_it_comes_goes_or_changes_in_essence() {
        let moved = RUNNING.replace(":1}", ":2}");
        let stopped = RUNNING.replace("running", "stopped");
        assert!(wakes("members/a", None, Some(RUNNING)));
        assert!(wakes("members/a", Some(RUNNING), None));
        assert!(!wakes("members/a", Some(RUNNING), Some(&moved)));
        assert!(wakes("members/a", Some(RUNNING), Some(&stopped)));
    }

    #[test]
    fn my_own_writes_do_not_wake_me_but_the_loss_of_my_key_does() {
        assert!(!wakes("members/me", None, Some(RUNNING)));
        assert!(wakes("members/me", Some(RUNNING), None));
    }
}
