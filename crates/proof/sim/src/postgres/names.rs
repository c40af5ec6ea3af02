//! `synchronous_standby_names`: reading it, and whether a commit has been waited for enough.

use std::collections::BTreeMap;

use pgherd_domain::{Lsn, MemberName};

/// Whom commits wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// For how many.
    count: usize,
    /// For any of them; else for the first of those that are connected.
    any: bool,
    /// In their order; `*` is everybody.
    names: Vec<String>,
}

impl Waiting {
    /// Reads the setting; `None` when commits wait for nobody.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (head, list) = match text.split_once('(') {
            Some((head, list)) => (head.trim(), list.trim_end().trim_end_matches(')')),
            None => ("", text),
        };
        let names: Vec<String> = list
            .split(',')
            .map(|name| name.trim().trim_matches('"').to_owned())
            .filter(|name| !name.is_empty())
            .collect();
        if names.is_empty() {
            return None;
        }
        let any = head.to_ascii_uppercase().starts_with("ANY");
        let count = head
            .split_whitespace()
            .last()
            .and_then(|number| number.parse().ok())
            .unwrap_or(1);
        Some(Self { count, any, names })
    }

    /// The place of a standby in the list, from 1; 0 when it is not in it.
    fn priority(&self, name: &MemberName) -> usize {
        self.names
            .iter()
            .position(|listed| listed == "*" || name.same_as(listed))
            .map_or(0, |index| index + 1)
    }

    /// Those of `connected` that are in the list, in its order.
    fn ranked<'a>(&self, connected: &'a BTreeMap<MemberName, Lsn>) -> Vec<(&'a MemberName, Lsn)> {
        let mut ranked: Vec<_> = connected
            .iter()
            .filter(|(name, _)| self.priority(name) > 0)
            .map(|(name, lsn)| (name, *lsn))
            .collect();
        ranked.sort_by_key(|(name, _)| self.priority(name));
        ranked
    }

    /// Whether a commit that ends at `lsn` may be acknowledged, given what the connected standbys flushed.
    pub(crate) fn is_satisfied(&self, lsn: Lsn, connected: &BTreeMap<MemberName, Lsn>) -> bool {
        let ranked = self.ranked(connected);
        if ranked.len() < self.count {
            return false;
        }
        if self.any {
            let reached = ranked.iter().filter(|(_, flushed)| *flushed >= lsn);
            return reached.count() >= self.count;
        }
        ranked
            .iter()
            .take(self.count)
            .all(|(_, flushed)| *flushed >= lsn)
    }

    /// `sync_state` and `sync_priority` of a standby, as `pg_stat_replication` has them.
    pub(crate) fn state_of(
        &self,
        name: &MemberName,
        connected: &BTreeMap<MemberName, Lsn>,
    ) -> (&'static str, i64) {
        let priority = self.priority(name);
        if priority == 0 {
            return ("async", 0);
        }
        if self.any {
            return ("quorum", 1);
        }
        let place = self
            .ranked(connected)
            .iter()
            .position(|(ranked, _)| *ranked == name);
        let chosen = place.is_some_and(|place| place < self.count);
        let priority = i64::try_from(priority).unwrap_or(i64::MAX);
        (if chosen { "sync" } else { "potential" }, priority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected(list: &[(&str, u64)]) -> BTreeMap<MemberName, Lsn> {
        list.iter()
            .map(|(name, lsn)| (MemberName::new(name).unwrap(), Lsn::new(*lsn)))
            .collect()
    }

    #[test]
    fn the_first_listed_one_that_is_connected_counts() {
        let waiting = Waiting::parse(r#"1 (b,"c")"#).unwrap();
        assert!(!waiting.is_satisfied(Lsn::new(10), &connected(&[("b", 5), ("c", 20)])));
        assert!(waiting.is_satisfied(Lsn::new(10), &connected(&[("c", 20)])));
        assert!(!waiting.is_satisfied(Lsn::new(10), &connected(&[("d", 20)])));
        let both = connected(&[("b", 5), ("c", 20)]);
        assert_eq!(
            waiting.state_of(&MemberName::new("c").unwrap(), &both),
            ("potential", 2)
        );
    }

    #[test]
    fn any_counts_whoever_has_it() {
        let waiting = Waiting::parse("ANY 2 (b,c,d)").unwrap();
        assert!(waiting.is_satisfied(Lsn::new(10), &connected(&[("b", 5), ("c", 20), ("d", 10)])));
        assert!(!waiting.is_satisfied(Lsn::new(10), &connected(&[("b", 5), ("c", 20)])));
    }

    #[test]
    fn a_single_name_and_nothing() {
        assert_eq!(Waiting::parse("b").unwrap().count, 1);
        assert_eq!(Waiting::parse(" "), None);
    }
}
