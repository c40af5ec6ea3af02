//! What Patroni makes of settings, row by row, and what we do: `tests/patroni/rows.txt`, which is read there.
//!
//! Here our side of every row is looked at. Patroni's own side is asked from an installed Patroni by `settings_rows` of
//! the end-to-end suites, with `tests/patroni/ask.py`.

#[cfg(test)]
mod looks;
#[cfg(test)]
mod stanza;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use looks::Herd;
use stanza::stanzas;

const ROWS: &str = include_str!("../patroni/rows.txt");

#[test]
fn we_make_of_every_row_what_stands_there() {
    let mut seen = 0;
    let mut differences = Vec::new();
    for stanza in stanzas(ROWS) {
        let herd = Herd::new(&stanza.files, &stanza.environment, stanza.dynamic.as_ref());
        for look in &stanza.looks {
            let ours = herd.look(look.what);
            if ours != look.pgherd {
                differences.push(format!(
                    "rows.txt:{}: {} = {}, and we make {ours} of it",
                    look.line, look.what, look.pgherd
                ));
            }
            seen += 1;
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(seen > 400, "{seen} rows");
}

#[test]
fn every_difference_has_one_of_the_reasons_at_the_top() {
    let given = |line: &'static str| Some(line.strip_prefix("why ")?.split_once(": ")?.0);
    let known: BTreeSet<&str> = ROWS.lines().filter_map(given).collect();
    let all = stanzas(ROWS);
    let looks = all.iter().flat_map(|stanza| &stanza.looks);
    let used: BTreeSet<&str> = looks.filter_map(|look| look.why).collect();
    assert_eq!(known, used);
}
