//! Commands of the operator's that PostgreSQL waits for: a restore_command or an archive_command that does not end
//! keeps a server starting, behind or stopping for ever, and PostgreSQL says nothing of it.

use std::time::Duration;

use fs_err as fs;
use pgherd_domain::HungCommand;
use pgherd_pgconf::ProcessStat;

use crate::process::{TICKS, processes, stat, title};

/// How long such a command may take for one file before it is told of.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The processes of a postmaster that run commands of the operator's, and the setting each takes its command from.
const RUNNERS: [(&str, &str); 2] = [
    ("startup", "restore_command"),
    ("archiver", "archive_command"),
];

/// The command that a process of `postmaster` has been waiting for, for longer than `patience`. Reads /proc alone.
pub(crate) fn command(postmaster: i32, patience: Duration) -> Option<HungCommand> {
    let up = uptime()?;
    let living: Vec<(i32, ProcessStat)> = processes()
        .filter_map(|pid| Some((pid, stat(pid).filter(ProcessStat::runs)?)))
        .collect();
    let children = |of: i32| living.iter().filter(move |(_, stat)| stat.parent == of);
    children(postmaster).find_map(|(runner, _)| {
        let (setting, file) = told(&title(*runner)?)?;
        let hangs = |stat: &ProcessStat| {
            let since = Duration::from_millis(stat.started_ticks * 1000 / TICKS);
            up.saturating_sub(since) > patience
        };
        let (pid, _) = children(*runner).find(|(_, stat)| hangs(stat))?;
        Some(HungCommand {
            setting,
            pid: *pid,
            file,
        })
    })
}

/// Of which setting a process with this title runs the command, and for which file.
fn told(title: &str) -> Option<(&'static str, Option<String>)> {
    let mut words = title.split_ascii_whitespace();
    let (_, setting) = words.find_map(|word| RUNNERS.iter().find(|(runner, _)| *runner == word))?;
    let is_file = |word: &&str| {
        let name = word.split('.').next().unwrap_or_default();
        name.len() >= 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let file = words.find(is_file).map(str::to_owned);
    Some((setting, file))
}

/// Since the boot.
fn uptime() -> Option<Duration> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    let seconds = text.split_ascii_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    const SEGMENT: &str = "000000010000000000000003";

    #[test]
    fn the_titles_of_postgresql_say_what_is_waited_for() {
        let file = |name: &str| Some(name.to_owned());
        for (title, setting, wanted) in [
            (
                format!("postgres: demo: startup waiting for {SEGMENT}"),
                "restore_command",
                file(SEGMENT),
            ),
            (
                format!("postgres: startup recovering {SEGMENT}"),
                "restore_command",
                file(SEGMENT),
            ),
            (
                "postgres: demo: startup".to_owned(),
                "restore_command",
                None,
            ),
            (
                "postgres: demo: archiver archiving 00000002.history".to_owned(),
                "archive_command",
                file("00000002.history"),
            ),
        ] {
            assert_eq!(told(&title), Some((setting, wanted)), "{title}");
        }
        assert_eq!(told("postgres: demo: checkpointer"), None);
        assert_eq!(
            told("postgres: demo: walreceiver streaming 0/3000000"),
            None
        );
    }

    #[test]
    fn a_command_that_does_not_end_is_found_below_its_runner() {
        let me = i32::try_from(std::process::id()).unwrap();
        let mut runner = Command::new("/bin/sh")
            .arg0(format!("postgres: demo: startup waiting for {SEGMENT} "))
            .args(["-c", "read stop; true"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        assert_eq!(command(me, Duration::ZERO), None, "it runs nothing");
        runner.kill().unwrap();
        runner.wait().unwrap();
        let mut runner = Command::new("/bin/sh")
            .arg0(format!("postgres: demo: startup waiting for {SEGMENT} "))
            .args(["-c", "sleep 600 & echo $!; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut lines = std::io::BufReader::new(runner.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut lines, &mut said).unwrap();
        let pid: i32 = said.trim().parse().unwrap();
        let hung = HungCommand {
            setting: "restore_command",
            pid,
            file: Some(SEGMENT.to_owned()),
        };
        // Its age is counted in hundredths of a second.
        let found = loop {
            if let Some(found) = command(me, Duration::ZERO) {
                break found;
            }
            std::thread::yield_now();
        };
        assert_eq!(found, hung);
        assert_eq!(command(me, Duration::from_secs(3600)), None, "not yet");
        crate::process::kill(pid);
        runner.wait().unwrap();
    }
}
