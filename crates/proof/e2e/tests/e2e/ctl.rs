//! Patroni's own patronictl and ours say the same of the same cluster, byte by byte; `ctl-lines.txt` has the lines.
//!
//! Times of day count as equal. One cluster is ours, so the other one's client shows at the same time that it
//! understands our keys and our REST API; the other cluster is Patroni's, for ours to understand.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::future::join_all;
use pgherd_e2e::with_herd;
use pgherd_testbed::{AgentProgram, Herd, HerdOptions, reader, wait_for};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// The lines: a command line, and behind `<` what is typed in, with `\n` between answers. `=`: both run, one after
/// the other, and only what comes after them is compared.
const LINES: &str = include_str!("ctl-lines.txt");
/// One command, a start of Python and a restart of PostgreSQL included.
const ENDED: Duration = Duration::from_secs(60);
/// So many lines are asked at once.
const SIDE_BY_SIDE: usize = 4;
/// Positions in the WAL move between two looks; then both look again.
const ALIKE: Duration = Duration::from_secs(20);

/// What one of them did: its exit code, standard output and standard error.
#[derive(Debug, PartialEq, Eq)]
struct Did(i32, String, String);

async fn run(program: &Path, first: &[&str], line: &str, input: &str) -> Result<Did> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut child = Command::new(program)
        .args(first)
        .args(&words)
        .env_remove("EDITOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    // It may end before it has read everything.
    stdin.write_all(input.as_bytes()).await.ok();
    drop(stdin);
    let output = tokio::time::timeout(ENDED, child.wait_with_output())
        .await
        .with_context(|| format!("`{line}` never ended"))??;
    let text = |bytes: &[u8]| without_times(&String::from_utf8_lossy(bytes));
    Ok(Did(
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    ))
}

/// `2026-11-24 03:04:05.678` and the like become one word.
fn without_times(text: &str) -> String {
    let is_day = |rest: &str| {
        let shape = rest.bytes().take(10).map(|byte| match byte {
            b'0'..=b'9' => b'0',
            other => other,
        });
        shape.eq(*b"0000-00-00")
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if is_day(rest) {
            let end = rest[10..].find(|letter: char| !" T0123456789:.,".contains(letter));
            rest = &rest[end.map_or(rest.len(), |end| end + 10)..];
            out.push_str("TIME");
        } else {
            out.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    out
}

async fn compare(herd: &Herd, line: &str, input: &str) -> Result<()> {
    let theirs = reader("patronictl").context("patronictl is not installed")?;
    let AgentProgram::Pgherd(ours) = AgentProgram::pgherd()? else {
        bail!("our own program is not ours");
    };
    let config = herd.members[0].config().display().to_string();
    let their_words = ["-c", config.as_str()];
    let our_words = ["patronictl", "-c", config.as_str()];
    if let Some(line) = line.strip_prefix('=') {
        run(&theirs, &their_words, line, input).await?;
        run(&ours, &our_words, line, input).await?;
        return Ok(());
    }
    wait_for(
        &format!("`{line}` to be answered alike"),
        ALIKE,
        async || {
            let (theirs, ours) = tokio::join!(
                run(&theirs, &their_words, line, input),
                run(&ours, &our_words, line, input),
            );
            let (theirs, ours) = (theirs?, ours?);
            ensure!(theirs == ours, "patronictl: {theirs:#?}\nours: {ours:#?}");
            Ok(())
        },
    )
    .await
}

/// Whether a line is carried out by both, and changes something.
fn is_done((line, _): &(String, String)) -> bool {
    line.starts_with('=')
}

async fn say_the_same_on(story: &str, agent: Option<AgentProgram>) -> Result<()> {
    let options = HerdOptions {
        members: 2,
        stores: 1,
        // Patroni's least: below it ours warns, and nobody else does.
        ttl: 20,
        retry_timeout: 3,
        agent,
        ..HerdOptions::default()
    };
    with_herd(story, options, async |herd| {
        let line_of = |line: &str| {
            let (line, input) = line.split_once(" < ").unwrap_or((line, ""));
            let input = input.replace("\\n", "\n").replace("CLUSTER", story);
            (line.replace("CLUSTER", story), input)
        };
        let wanted = |line: &&str| !line.is_empty() && !line.starts_with('#');
        let lines: Vec<_> = LINES.lines().filter(wanted).map(line_of).collect();
        // Nothing changes between two lines that both run, so whatever is there is asked side by side.
        let mut differ = Vec::new();
        for asked in lines.chunk_by(|one, next| !is_done(one) && !is_done(next)) {
            for some in asked.chunks(SIDE_BY_SIDE) {
                let compared = some.iter().map(|(line, input)| compare(herd, line, input));
                let found = join_all(compared).await;
                differ.extend(found.into_iter().filter_map(Result::err));
            }
        }
        let faults: Vec<_> = differ.iter().map(|fault| format!("{fault:#}")).collect();
        ensure!(faults.is_empty(), "{}", faults.join("\n"));
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn patronictl_and_ours_say_the_same_of_our_cluster() -> Result<()> {
    if reader("patronictl").is_none() {
        eprintln!("skipped: no patronictl here; scripts/setup.sh test installs it");
        return Ok(());
    }
    say_the_same_on("ctl", None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn patronictl_and_ours_say_the_same_of_a_cluster_of_patroni() -> Result<()> {
    let Some(patroni) = AgentProgram::patroni() else {
        eprintln!("skipped: no Patroni here; scripts/setup.sh test installs it");
        return Ok(());
    };
    say_the_same_on("ctlp", Some(patroni)).await
}
