//! Child processes: as the right account, in a clean environment, gone when nobody waits for them any more.

use std::collections::VecDeque;
use std::io;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use crate::owner::Owner;

/// How many lines are kept to say why a program failed.
const TAIL: usize = 12;
/// What one line may be long; the rest of it is passed over.
const LINE: usize = 4096;
/// How much of a program's output is kept.
const OUTPUT: usize = 1 << 20;

/// Why a program gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// It could not be started.
    #[error("can not run {program}: {source}")]
    NotStarted {
        /// Which.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ended with an error.
    #[error("{program} failed ({status}){}", after_colon(tail))]
    Failed {
        /// Which.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The last it said.
        tail: String,
    },
}

fn after_colon(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

/// A command that runs as `owner`, outside our process group, without what is only for us in its environment.
pub(crate) fn command(program: &str, owner: &Owner) -> Command {
    let mut command = hook_command(program, owner);
    for (name, _) in std::env::vars_os() {
        let private = name
            .to_str()
            .is_some_and(|name| name.starts_with("PATRONI_") || name.starts_with("KUBERNETES_"));
        if private {
            command.env_remove(name);
        }
    }
    command
}

/// The same for a callback or hook of the operator's, which may read the agent's own environment.
pub(crate) fn hook_command(program: &str, owner: &Owner) -> Command {
    let mut command = Command::new(program);
    command.env_remove("NOTIFY_SOCKET");
    if owner.becomes {
        command
            .uid(owner.uid)
            .gid(owner.gid)
            .env("HOME", &owner.home)
            .env("USER", &owner.name)
            .env("LOGNAME", &owner.name)
            .current_dir("/");
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command
}

/// Runs to the end; gives what it printed.
pub(crate) async fn output(command: Command) -> Result<String, RunError> {
    watched(command, |_| ()).await
}

/// Runs to the end and hands each line of its error output to `each`. Gives what it printed. When this is
/// dropped the program and its own children are killed.
pub(crate) async fn watched(
    mut command: Command,
    mut each: impl FnMut(&str) + Send,
) -> Result<String, RunError> {
    let program = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let wrong = |source| RunError::NotStarted {
        program: program.clone(),
        source,
    };
    let mut group = Group(command.spawn().map_err(wrong)?);
    let (stdout, stderr) = (group.0.stdout.take(), group.0.stderr.take());
    let mut tail = VecDeque::with_capacity(TAIL);
    let mut keep = |line: &str| {
        each(line);
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(line.to_owned());
    };
    let mut printed = Vec::new();
    let (read, watched) = tokio::join!(
        read_some(stdout, &mut printed),
        read_lines(stderr, &mut keep)
    );
    read.and(watched).map_err(wrong)?;
    let status = group.0.wait().await.map_err(wrong)?;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    if status.success() {
        return Ok(printed);
    }
    let mut tail = tail.make_contiguous().join("; ");
    if tail.is_empty() {
        let last: Vec<&str> = printed.lines().rev().take(3).collect();
        tail = last.into_iter().rev().collect::<Vec<_>>().join("; ");
    }
    Err(RunError::Failed {
        program,
        status,
        tail,
    })
}

/// A child with its own process group, killed as a whole when dropped before its end.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // `id` is `None` once the child has been waited for.
        let pid = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw)
            && let Err(error) = kill_process_group(pid, Signal::KILL)
        {
            tracing::debug!(%error, ?pid, "end a program that nobody waits for");
        }
    }
}

async fn read_some(
    stream: Option<impl AsyncRead + Unpin>,
    printed: &mut Vec<u8>,
) -> io::Result<()> {
    let Some(mut stream) = stream else {
        return Ok(());
    };
    let mut part = vec![0; LINE];
    loop {
        let count = stream.read(&mut part).await?;
        if count == 0 {
            return Ok(());
        }
        let room = OUTPUT.saturating_sub(printed.len()).min(count);
        printed.extend_from_slice(&part[..room]);
    }
}

/// Lines end with a line feed or a carriage return, as progress reports do.
async fn read_lines(
    stream: Option<impl AsyncRead + Unpin>,
    keep: &mut (impl FnMut(&str) + Send),
) -> io::Result<()> {
    let Some(mut stream) = stream else {
        return Ok(());
    };
    let mut part = vec![0; LINE];
    let mut line = Vec::new();
    loop {
        let count = stream.read(&mut part).await?;
        for byte in &part[..count] {
            match byte {
                b'\n' | b'\r' => finish(&mut line, keep),
                byte if line.len() < LINE => line.push(*byte),
                _ => {}
            }
        }
        if count == 0 {
            finish(&mut line, keep);
            return Ok(());
        }
    }
}

fn finish(line: &mut Vec<u8>, keep: &mut impl FnMut(&str)) {
    let text = String::from_utf8_lossy(line);
    let text = text.trim();
    if !text.is_empty() {
        keep(text);
    }
    line.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> Owner {
        Owner {
            uid: 0,
            gid: 0,
            name: String::new(),
            home: "/".into(),
            becomes: false,
        }
    }

    fn shell(script: &str) -> Command {
        let mut shell = command("/bin/sh", &me());
        shell.args(["-c", script]);
        shell
    }

    #[tokio::test]
    async fn a_failure_says_the_last_lines() {
        let error = output(shell("echo one >&2; echo two >&2; exit 3"))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("exit status: 3"), "{error}");
        assert!(error.ends_with(": one; two"), "{error}");
        let error = output(command("/no/such/program", &me())).await;
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("can not run /no/such/program")
        );
    }

    #[tokio::test]
    async fn progress_lines_end_with_carriage_returns_too() {
        let mut seen = Vec::new();
        let printed = watched(shell("printf 'a\\rb\\nc' >&2; echo out"), |line| {
            seen.push(line.to_owned());
        })
        .await
        .unwrap();
        assert_eq!(seen, ["a", "b", "c"]);
        assert_eq!(printed, "out\n");
    }

    #[tokio::test]
    async fn whoever_stops_waiting_ends_the_program_and_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", file.display());
        let run = tokio::spawn(output(shell(&script)));
        let pid = loop {
            if let Ok(text) = std::fs::read_to_string(&file)
                && let Ok(pid) = text.trim().parse::<i32>()
            {
                break pid;
            }
            tokio::task::yield_now().await;
        };
        run.abort();
        let stat = format!("/proc/{pid}/stat");
        let runs = || {
            std::fs::read_to_string(&stat)
                .ok()
                .and_then(|text| pgherd_pgconf::ProcessStat::parse(&text))
                .is_some_and(|stat| stat.runs())
        };
        let gone = async {
            while runs() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), gone)
            .await
            .expect("the grandchild is killed");
    }
}
