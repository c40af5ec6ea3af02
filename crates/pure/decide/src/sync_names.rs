//! `synchronous_standby_names`: written from names, and read for whom it makes every commit wait.

use std::collections::BTreeSet;

use pgherd_domain::{MemberName, NOBODY};

use crate::quorum::Waits;

/// `synchronous_standby_names` for these standbys: nothing, `a`, or `2 (a,b)`; with nobody in strict
/// mode the placeholder (contract §6.1).
pub fn names_setting(names: &BTreeSet<MemberName>, strict: bool) -> String {
    let quoted: Vec<String> = names.iter().map(|name| quote(name.as_str())).collect();
    match quoted.as_slice() {
        [] if strict => NOBODY.to_owned(),
        [] => String::new(),
        [one] => one.clone(),
        several => format!("{} ({})", several.len(), several.join(",")),
    }
}

/// The same where commits wait for so many of the names; with more than there are they wait for nobody's name.
pub(crate) fn exact_setting(waits: &Waits, strict: bool) -> String {
    let quoted = held_list(waits);
    match quoted {
        Some(list) if waits.names.is_empty() => list,
        Some(list) => format!("{} ({list})", waits.names.len() + 1),
        None => names_setting(&waits.names, strict),
    }
}

/// The list of names that nobody's name ends, where commits wait for more than there are.
fn held_list(waits: &Waits) -> Option<String> {
    let held = waits.count > waits.names.len();
    let mut quoted: Vec<String> = waits.names.iter().map(|it| quote(it.as_str())).collect();
    quoted.push(NOBODY.to_owned());
    held.then(|| quoted.join(","))
}

/// Whether nobody acknowledges a commit by this setting: it waits for nobody's name.
pub(crate) fn holds(setting: &str) -> bool {
    setting.contains(NOBODY)
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

/// The same in quorum mode: `ANY 1 (a,b)` (contract §6.1).
pub(crate) fn quorum_setting(waits: &Waits, strict: bool) -> String {
    if let Some(list) = held_list(waits) {
        return format!("ANY {} ({list})", waits.names.len() + 1);
    }
    let quoted: Vec<String> = waits
        .names
        .iter()
        .map(|name| quote(name.as_str()))
        .collect();
    match (waits.count, quoted.as_slice()) {
        (_, []) | (0, _) if strict => format!("ANY 1 ({NOBODY})"),
        (_, []) | (0, _) => String::new(),
        (count, _) => format!("ANY {count} ({})", quoted.join(",")),
    }
}

/// How many of which names a setting makes every commit wait for. The first of a list are some of it; `*` and the
/// placeholder are nobody's names.
pub(crate) fn waits_of(setting: &str) -> Waits {
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
    let count = head
        .split_whitespace()
        .next_back()
        .map_or(Some(1), |number| number.parse::<usize>().ok());
    let anybody = names.iter().any(|name| name == "*");
    let count = match count {
        Some(count) if !anybody && !names.is_empty() => count,
        Some(_) | None => {
            let names = BTreeSet::new();
            return Waits { count: 0, names };
        }
    };
    let names = names
        .iter()
        .filter_map(|name| MemberName::new(name).ok())
        .collect();
    Waits { count, names }
}

/// Whether some `/sync` that holds for the one setting does not hold for the other. None does when all names stay and every
/// new one is waited for as well: |V ∪ S| grows by no more than N does. Where commits waited for nobody there is none to begin with.
pub(crate) fn relaxes(before: &str, after: &str) -> bool {
    let (before, after) = (waits_of(before), waits_of(after));
    let new = after.names.difference(&before.names).count();
    let stay = before.names.is_subset(&after.names);
    before.count > 0 && (!stay || after.count < before.count + new)
}

/// Whom a setting makes every commit wait for: all its names when their number is the whole of them,
/// nobody for certain when some of several are enough.
pub(crate) fn waited_for(setting: &str) -> BTreeSet<MemberName> {
    let Waits { count, names } = waits_of(setting);
    if count < names.len() {
        return BTreeSet::new();
    }
    names
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
        assert_eq!(names_setting(&names(&[]), true), NOBODY);
        assert_eq!(names_setting(&names(&["a"]), true), "a");
        assert_eq!(names_setting(&names(&["b", "a-1"]), false), "2 (\"a-1\",b)");
        assert_eq!(names_setting(&names(&["any"]), false), "\"any\"");
    }

    #[test]
    fn a_quorum_is_always_any_of_a_list() {
        let of = |count, list: &[&str]| Waits {
            count,
            names: names(list),
        };
        assert_eq!(quorum_setting(&of(1, &["b"]), false), "ANY 1 (b)");
        assert_eq!(
            quorum_setting(&of(2, &["b", "a-1"]), true),
            "ANY 2 (\"a-1\",b)"
        );
        assert_eq!(quorum_setting(&of(0, &[]), false), "");
        assert_eq!(
            quorum_setting(&of(0, &[]), true),
            format!("ANY 1 ({NOBODY})")
        );
        for setting in ["ANY 1 (b,c)", "FIRST 1 (b,c)", "1 (b, c)", "b, c"] {
            assert_eq!(waits_of(setting), of(1, &["b", "c"]), "{setting}");
        }
        assert_eq!(waits_of("*"), of(0, &[]));
        assert_eq!(waits_of("ANY 1 (b,*)"), of(0, &[]));
    }

    #[test]
    fn more_than_there_are_wait_for_nobody_s_name() {
        let of = |count, list: &[&str]| Waits {
            count,
            names: names(list),
        };
        let held = of(3, &["b", "c"]);
        let any = format!("ANY 3 (b,c,{NOBODY})");
        let all = format!("3 (b,c,{NOBODY})");
        assert_eq!(quorum_setting(&held, false), any);
        assert_eq!(exact_setting(&held, false), all);
        assert_eq!(waits_of(&any), held);
        assert_eq!(waits_of(&all), held);
        assert_eq!(waited_for(&all), names(&["b", "c"]));
        assert_eq!(exact_setting(&of(1, &[]), false), NOBODY);
        assert_eq!(exact_setting(&of(2, &["b", "c"]), false), "2 (b,c)");
        assert!(holds(&any) && holds(&all) && !holds("2 (b,c)"));
    }

    #[test]
    fn a_setting_relaxes_another_when_it_lets_a_commit_through_that_waited() {
        for (before, after) in [
            ("", "b"),
            ("", "ANY 1 (b,c)"),
            ("b", "2 (b,c)"),
            ("ANY 1 (b,c)", "2 (b,c)"),
            ("ANY 1 (b,c)", "ANY 2 (b,c,d)"),
            ("b", "b"),
        ] {
            assert!(!relaxes(before, after), "{before} to {after}");
        }
        for (before, after) in [
            ("b", ""),
            ("b", "c"),
            ("2 (b,c)", "b"),
            ("2 (b,c)", "ANY 1 (b,c)"),
            ("ANY 1 (b,c)", "ANY 1 (b,c,d)"),
            ("b", NOBODY),
        ] {
            assert!(relaxes(before, after), "{before} to {after}");
        }
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
            NOBODY,
        ] {
            assert_eq!(waited_for(setting), names(&[]), "{setting}");
        }
    }
}
