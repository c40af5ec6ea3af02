//! The file in which a member's promises survive its agent and the power of its host.
//!
//! It lies beside the data directory, not in it: that is replaced by a copy at times. Where that folder can
//! not be written no promise is given; a place that forgets with the power would be none.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use pgherd_domain::{MemberName, Moment};

use crate::{Clock, PromiseStore, SystemClock};

const MAGIC: &str = "pgherd-promises-1";

/// Promises in a file, on the host's own clock.
#[derive(Debug, Clone)]
pub struct PromiseFile {
    path: PathBuf,
    boot: String,
}

impl PromiseFile {
    /// The file of `data_dir`: `.pgherd-NAME.promises` beside it.
    pub fn beside(data_dir: &Path) -> Self {
        let name = data_dir
            .file_name()
            .map_or_else(|| "data".into(), |name| name.to_string_lossy());
        let folder = data_dir.parent().unwrap_or(data_dir);
        Self {
            path: folder.join(format!(".pgherd-{name}.promises")),
            boot: boot_id(),
        }
    }

    fn read(&self, now: Moment) -> Result<BTreeMap<MemberName, Moment>, String> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(format!("read {}: {error}", self.path.display())),
        };
        parse(&text, &self.boot, now)
            .ok_or_else(|| format!("{} is not a list of promises", self.path.display()))
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let fresh = self.path.with_extension("promises.new");
        let mut file = File::create(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        match self.path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl PromiseStore for PromiseFile {
    async fn load(&self) -> Result<BTreeMap<MemberName, Moment>, String> {
        let (file, now) = (self.clone(), SystemClock.now());
        let read = tokio::task::spawn_blocking(move || file.read(now)).await;
        read.unwrap_or_else(|error| Err(error.to_string()))
    }

    async fn keep(&self, promises: &BTreeMap<MemberName, Moment>) -> Result<(), String> {
        let text = render(promises, &self.boot, SystemClock.now());
        let file = self.clone();
        let written = tokio::task::spawn_blocking(move || {
            file.write(&text)
                .map_err(|error| format!("write {}: {error}", file.path.display()))
        });
        written.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

/// Tells one boot from another. Where the kernel does not say, every start counts as another boot, and a
/// promise binds longer than it must.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

fn render(promises: &BTreeMap<MemberName, Moment>, boot: &str, now: Moment) -> String {
    let mut text = format!("{MAGIC} boot={boot} at={}\n", now.as_nanos());
    for (name, until) in promises {
        // Writing to a string can not fail.
        writeln!(text, "{} {name}", until.as_nanos()).ok();
    }
    text
}

/// Reads the file. After a reboot nobody knows how long the power was away: the whole span counts from now.
fn parse(text: &str, boot: &str, now: Moment) -> Option<BTreeMap<MemberName, Moment>> {
    let text = text.strip_suffix('\n')?;
    let mut lines = text.split('\n');
    let head = lines.next()?.strip_prefix(MAGIC)?.strip_prefix(" boot=")?;
    let (its_boot, at) = head.split_once(" at=")?;
    let at = Moment::from_nanos(at.parse().ok()?);
    let same_clock = its_boot == boot && !boot.is_empty() && at <= now;
    lines
        .map(|line| {
            let (until, name) = line.split_once(' ')?;
            let until = Moment::from_nanos(until.parse().ok()?);
            let until = if same_clock {
                until
            } else {
                now.plus(until.since(at))
            };
            Some((MemberName::new(name).ok()?, until))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn promises() -> BTreeMap<MemberName, Moment> {
        let name = |text| MemberName::new(text).unwrap();
        [(name("a"), at(130)), (name("node-2.example"), at(120))].into()
    }

    #[test]
    fn the_same_boot_reads_the_same_moments() {
        let text = render(&promises(), "x", at(100));
        assert_eq!(parse(&text, "x", at(110)), Some(promises()));
    }

    #[test]
    fn after_a_reboot_the_whole_span_counts_from_now() {
        let text = render(&promises(), "x", at(100));
        for (boot, now) in [("y", 3), ("", 3), ("x", 99)] {
            let read = parse(&text, boot, at(now)).unwrap();
            let spans: Vec<_> = read.values().map(|until| until.since(at(now))).collect();
            assert_eq!(
                spans,
                [at(30).since(at(0)), at(20).since(at(0))],
                "{boot} {now}"
            );
        }
    }

    #[test]
    fn a_torn_file_is_not_taken_for_an_empty_one() {
        let text = render(&promises(), "x", at(100));
        for end in 0..text.len() {
            let torn = parse(&text[..end], "x", at(110));
            // A whole number of lines is what an older file may have been; it is renamed as a whole.
            assert!(torn.is_none() || text[..end].ends_with('\n'), "{end}");
        }
        assert_eq!(parse("", "x", at(1)), None);
    }

    #[tokio::test]
    async fn what_is_kept_is_loaded_by_the_next_agent() {
        let folder = std::env::temp_dir().join(format!("pgherd-promises-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let data_dir = folder.join("main");
        let file = PromiseFile::beside(&data_dir);
        assert_eq!(file.load().await, Ok(BTreeMap::new()));
        file.keep(&promises()).await.unwrap();
        assert_eq!(PromiseFile::beside(&data_dir).load().await, Ok(promises()));
        fs::write(&file.path, "rubbish").unwrap();
        assert!(file.load().await.is_err());
        fs::remove_dir_all(&folder).unwrap();
        assert!(
            file.keep(&promises()).await.is_err(),
            "no folder, no promise"
        );
    }
}
