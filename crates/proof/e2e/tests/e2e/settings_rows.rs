//! Patroni itself makes of every setting what our rows say it does; the settings crate's test `rows` holds us to them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_testbed::reader;
use serde_json::Value;
use tokio::process::Command;

/// The rows, and the program that asks an installed Patroni about them.
const FOLDER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../pure/settings/tests/patroni"
);
/// A start of Python, and some hundred small configurations.
const ENDED: Duration = Duration::from_secs(60);

/// What a row says of Patroni: the look and its value, without our own.
fn of_patroni(row: &str) -> Result<(&str, Value)> {
    let (look, values) = row.trim().split_once(" = ").context("a row has a value")?;
    let value = values.split(" | pgherd ").next().unwrap_or_default();
    Ok((look, serde_json::from_str(value)?))
}

#[tokio::test]
async fn patroni_makes_of_every_setting_what_our_rows_say() -> Result<()> {
    let Some(python) = reader("python3") else {
        eprintln!("skipped: no Patroni here; scripts/setup.sh test installs it");
        return Ok(());
    };
    let rows = Path::new(FOLDER).join("rows.txt");
    let ask = Command::new(python)
        .arg("-B")
        .arg(Path::new(FOLDER).join("ask.py"))
        .args([
            &rows,
            &Path::new(FOLDER).join("../../../../../docs/reference/settings.md"),
        ])
        .output();
    let asked = tokio::time::timeout(ENDED, ask)
        .await
        .context("it never ended")??;
    let told = String::from_utf8_lossy(&asked.stderr);
    ensure!(asked.status.success(), "ask.py: {told}");
    let mut answers: BTreeMap<usize, Value> = String::from_utf8(asked.stdout)?
        .lines()
        .map(serde_json::from_str::<(usize, Value)>)
        .collect::<Result<_, _>>()?;

    let strangers = answers.remove(&0).context("it came to its end")?;
    ensure!(
        strangers == serde_json::json!([]),
        "keys that Patroni does not know are ours: {strangers}"
    );

    let text = fs_err::read_to_string(&rows)?;
    let mut differences = Vec::new();
    let mut seen = 0;
    for (at, row) in text.lines().enumerate() {
        // only looks are indented
        let Some(row) = row.strip_prefix("  ") else {
            continue;
        };
        let (look, value) = of_patroni(row).with_context(|| format!("rows.txt:{}", at + 1))?;
        let answer = answers.get(&(at + 1)).context("every row is answered")?;
        if *answer != value {
            differences.push(format!(
                "rows.txt:{}: {look} = {answer}, not {value}",
                at + 1
            ));
        }
        seen += 1;
    }
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    ensure!(seen == answers.len() && seen > 400, "{seen} rows");
    Ok(())
}
