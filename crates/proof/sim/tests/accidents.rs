//! The table of accidents (`docs/accidents.md`) is whole, and what it names exists.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// The table's rows: the id, and all the cells.
fn rows() -> Vec<(String, String)> {
    let table = std::fs::read_to_string(root().join("docs/accidents.md")).unwrap_or_default();
    let rows = table.lines().filter_map(|line| {
        let id = line.strip_prefix("| ")?.split(' ').next()?;
        let number = id.get(1..)?;
        let numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        numbered.then(|| (id.to_owned(), line.to_owned()))
    });
    rows.collect()
}

#[test]
fn every_accident_has_a_row() {
    let known: Vec<String> = rows().into_iter().map(|(id, _)| id).collect();
    let wanted: Vec<String> = [("S", 43), ("T", 6), ("F", 8)]
        .into_iter()
        .flat_map(|(kind, last)| (1..=last).map(move |number| format!("{kind}{number}")))
        .collect();
    assert_eq!(known, wanted);
}

#[test]
fn every_file_that_a_row_names_exists() {
    for (id, row) in rows() {
        let quoted = row.split('`').skip(1).step_by(2);
        let files: Vec<&str> = quoted.filter(|text| text.contains('/')).collect();
        let files: Vec<&str> = files
            .into_iter()
            .filter(|text| text.ends_with(".txt") || text.ends_with(".rs"))
            .collect();
        assert!(
            !files.is_empty() || row.contains("not covered"),
            "{id} names no file"
        );
        for file in files {
            assert!(root().join(file).is_file(), "{id}: {file} does not exist");
        }
    }
}
