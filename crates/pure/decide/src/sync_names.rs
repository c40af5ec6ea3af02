//! `synchronous_standby_names`: written from names, and read for whom it makes every commit wait.

use std::collections::BTreeSet;

use pgherd_domain::MemberName;

/// Nobody's name: with it in synchronous_standby_names commits wait (contract §6.1).
const PLACEHOLDER: &str = "__patroni_strict_sync_replica_placeholder__";

/// `synchronous_standby_names` for these standbys: nothing, `a`, or `2 (a,b)`; with nobody in strict
/// mode the placeholder (contract §6.1).
pub fn names_setting(names: &BTreeSet<MemberName>, strict: bool) -> String {
    let quoted: Vec<String> = names.iter().map(|name| quote(name.as_str())).collect();
    match quoted.as_slice() {
        [] if strict => PLACEHOLDER.to_owned(),
        [] => String::new(),
        [one] => one.clone(),
        several => format!("{} ({})", several.len(), several.join(",")),
    }
}

/// Quoted unless it is a plain word that is none of the grammar's own.
fn quote(name: &str) -> String {
    let mut letters = name.chars();
    let plain = letters
        .next()
        .is_some_and(|letter| letter.is_ascii_alphabetic() || letter == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '$');
    let word = name.eq_ignore_ascii_case("first") || name.eq_ignore_ascii_case("any");
    if plain && !word {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Whom a setting makes every commit wait for: all its names when their number is the whole of them,
/// nobody for certain when some of several are enough. `*` and the placeholder are nobody's.
pub(crate) fn waited_for(setting: &str) -> BTreeSet<MemberName> {
    let (head, list) = match (setting.find('('), setting.rfind(')')) {
        (Some(open), Some(close)) if open < close => (&setting[..open], &setting[open + 1..close]),
        _ => ("", setting),
    };
    let names: Vec<String> = list
        .split(',')
        .map(|name| name.trim().trim_matches('"').replace("\"\"", "\""))
        .filter(|name| !name.is_empty())
        .collect();
    // A plain list means the first one of it (PostgreSQL manual, synchronous_standby_names).
    let enough = head
        .split_whitespace()
        .next_back()
        .map_or(Some(1), |number| number.parse::<usize>().ok());
    if enough.is_none_or(|enough| enough < names.len()) || names.iter().any(|name| name == "*") {
        return BTreeSet::new();
    }
    names
        .iter()
        .filter_map(|name| MemberName::new(name).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> BTreeSet<MemberName> {
        list.iter()
            .map(|name| MemberName::new(name).unwrap())
            .collect()
    }

    #[test]
    fn the_setting_follows_the_contract() {
        assert_eq!(names_setting(&names(&[]), false), "");
        assert_eq!(names_setting(&names(&[]), true), PLACEHOLDER);
        assert_eq!(names_setting(&names(&["a"]), true), "a");
        assert_eq!(names_setting(&names(&["b", "a-1"]), false), "2 (\"a-1\",b)");
        assert_eq!(names_setting(&names(&["any"]), false), "\"any\"");
    }

    #[test]
    fn what_this_agent_sets_is_waited_for() {
        assert_eq!(waited_for("2 (\"a-1\",b)"), names(&["a-1", "b"]));
        assert_eq!(waited_for("a"), names(&["a"]));
        assert_eq!(waited_for("FIRST 2 (a, b)"), names(&["a", "b"]));
        assert_eq!(waited_for("ANY 2 (a, b)"), names(&["a", "b"]));
    }

    #[test]
    fn nobody_is_waited_for_when_some_of_several_are_enough() {
        for setting in [
            "ANY 1 (a, b)",
            "FIRST 1 (a, b)",
            "1 (a,b)",
            "a, b",
            "*",
            "",
            PLACEHOLDER,
        ] {
            assert_eq!(waited_for(setting), names(&[]), "{setting}");
        }
    }
}
