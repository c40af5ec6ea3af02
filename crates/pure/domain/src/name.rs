//! Names: of members and of their replication slots.

use std::fmt;
use std::sync::Arc;

/// Nobody's name: with it among those that `synchronous_standby_names` needs commits wait (contract §6.1).
pub const NOBODY: &str = "__patroni_strict_sync_replica_placeholder__";

/// A member's name: unique in its cluster, never empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberName(Arc<str>);

/// A name that no member may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The empty text.
    #[error("a member's name must not be empty")]
    Empty,
    /// A slash would end the key in the DCS.
    #[error("a member's name must not contain `/`, and `{0}` does")]
    Slash(String),
    /// The name that means "nobody" in synchronous_standby_names.
    #[error("`{NOBODY}` is reserved and can not be a member's name")]
    Reserved,
}

impl MemberName {
    /// Makes a name.
    ///
    /// # Errors
    /// When the text is empty, holds a slash, or is the reserved placeholder.
    pub fn new(text: &str) -> Result<Self, NameError> {
        match text {
            "" => Err(NameError::Empty),
            NOBODY => Err(NameError::Reserved),
            text if text.contains('/') => Err(NameError::Slash(text.to_owned())),
            text => Ok(Self(text.into())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Names in `/sync` and synchronous_standby_names are compared without case (contract §4.3).
    pub fn same_as(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A replication slot's name: 1 to 63 of `[a-z0-9_]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotName(String);

impl SlotName {
    /// The slot of a member, made from its name as Patroni makes it (contract §4.5).
    pub fn of_member(name: &MemberName) -> Self {
        let mut slot = String::new();
        for letter in name.as_str().to_lowercase().chars() {
            match letter {
                'a'..='z' | '0'..='9' | '_' => slot.push(letter),
                '-' | '.' => slot.push('_'),
                other => slot.push_str(&format!("u{:04}", u32::from(other))),
            }
        }
        slot.truncate(63);
        Self(slot)
    }

    /// A slot that exists under this name.
    pub fn existing(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_names_follow_the_contract() {
        for (member, slot) in [
            ("node1", "node1"),
            ("Node-1.example", "node_1_example"),
            ("a b", "au0032b"),
            ("é", "u0233"),
        ] {
            assert_eq!(
                SlotName::of_member(&MemberName::new(member).unwrap()).as_str(),
                slot
            );
        }
        let long = MemberName::new(&"x".repeat(80)).unwrap();
        assert_eq!(SlotName::of_member(&long).as_str().len(), 63);
    }

    #[test]
    fn names_that_break_a_key_are_refused() {
        assert_eq!(MemberName::new(""), Err(NameError::Empty));
        assert!(matches!(MemberName::new("a/b"), Err(NameError::Slash(_))));
        assert_eq!(MemberName::new(NOBODY), Err(NameError::Reserved));
    }
}
