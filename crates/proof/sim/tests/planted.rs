//! Does the alarm ring? Every planted bug breaks the scenario that docs/simulator.md names for it. (That the scenarios
//! hold without one is what `scenarios` tests.)

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pgherd_sim::planted::Planted;
use pgherd_sim::scenario;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// Bug to scenario, as the table in docs/simulator.md has it: `| bug | what | scenario | seeds |`.
fn table() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root().join("docs/simulator.md")).unwrap_or_default();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, bug, _, file, _, _] = cells.as_slice() else {
            return None;
        };
        let (bug, file) = (bug.trim_matches('`'), file.trim_matches('`'));
        let named = Planted::named(bug).is_ok();
        named.then(|| (bug.to_owned(), file.to_owned()))
    });
    rows.collect()
}

#[test]
fn every_planted_bug_breaks_its_scenario() {
    let table = table();
    for (_, bug) in Planted::all() {
        let file = table.get(*bug);
        let file = file.unwrap_or_else(|| panic!("docs/simulator.md has no row for {bug}"));
        let text = std::fs::read_to_string(root().join("scenarios").join(file)).unwrap();
        let (commands, _) = scenario::split(&text);
        let played = scenario::run(&format!("plant {bug}\n{commands}"));
        assert!(played.is_err(), "{bug} is not found by {file}");
    }
}
