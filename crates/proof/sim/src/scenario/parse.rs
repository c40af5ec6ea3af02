//! Reading scenarios: one command a line, in words a DBA would use.

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::MemberName;

use super::by_hand::{self, Hand};
use super::condition::Condition;
use super::{faults, span};
use crate::dice::Span;
use crate::network::Place;
use crate::planted::Planted;
use crate::process::Crash;

/// Key to value, as YAML writes them.
pub(super) type Pairs = BTreeMap<String, String>;

/// Which process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    Postgres,
    Agent,
    Host,
}

/// What is done to a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// It is empty.
    Wiped,
    /// Its control file is gone.
    Spoilt,
}

/// What is done to the DCS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Dcs {
    Down,
    Silent,
    Up,
    Wipe,
    Revoke(MemberName),
    Delete(String),
    /// Somebody writes a key by hand.
    Put(String, String),
    /// A request takes up to this long in the store.
    Slow(Duration),
    /// The node that a member is connected to falls behind, or catches up.
    Behind(MemberName, bool),
    /// A member's watch dies while its connection lives, or is made anew.
    Unwatched(MemberName, bool),
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// The line as it was written, for the transcript.
    pub(super) line: String,
    pub(super) deed: Deed,
}

/// What a line of a scenario wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// The universe's seed.
    Seed(u64),
    /// There is a WAL archive: timelines are numbered once in the whole cluster.
    Archive,
    /// A server of another cluster: a primary of its own before `cluster`, a replica of this one's leader after it.
    Remote(MemberName),
    /// The agents have a planted bug.
    Plant(Planted),
    /// The members, the one that leads when it begins, and settings.
    Cluster {
        members: Vec<MemberName>,
        leader: Option<MemberName>,
        settings: Pairs,
    },
    /// Tags of a member.
    Tags(MemberName, Pairs),
    /// `watchdog.mode` of a member, and whether its host has a device.
    Watchdog(MemberName, String, bool),
    /// Lets time pass.
    Wait(Duration),
    /// Lets time pass until something holds, at most so long.
    Until(Condition, Duration),
    /// Something must hold now.
    Expect(Condition),
    /// Everything else, which the transcript shows.
    Do(Told),
}

/// A deed that the transcript shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Deed {
    Cut {
        from: Place,
        to: Vec<Place>,
        both_ways: bool,
    },
    Heal,
    Dcs(Dcs),
    Kill(Process, MemberName),
    Start(Process, MemberName),
    Stop(MemberName),
    /// Power and agent are there again, whatever was missing.
    Revive(MemberName),
    Freeze(MemberName, bool),
    FreezeFence(MemberName, bool),
    /// The agent's turns do not end any more, or they do.
    Stick(MemberName, bool),
    /// The agent's process ends at one of its next writes.
    Crash(MemberName, Crash),
    /// It does not end at a write any more.
    Spare(MemberName),
    /// All of a host stands still, or goes on.
    Suspend(MemberName, bool),
    Hang(MemberName, bool),
    /// The postmaster alone is stopped by SIGSTOP.
    FreezePostmaster(MemberName, bool),
    FreezeBackends(MemberName, bool),
    SlowSql(MemberName, Duration),
    SlowDisk(MemberName, u32),
    FullDisk(MemberName, bool),
    Stall(MemberName, bool),
    FailStarts(MemberName, u32),
    Disk(MemberName, Damage),
    /// Messages take this long from now on.
    Latency(Span),
    /// A host's clocks go wrong by so many millionths.
    Drift(MemberName, i64),
    /// A wall clock jumps by so many seconds.
    Jump(MemberName, i64),
    Write(u64, MemberName),
    /// A server removes the WAL that it has written so far.
    RemoveWal(MemberName),
    Switchover {
        from: Option<MemberName>,
        to: Option<MemberName>,
        after: Option<Duration>,
    },
    Config(Pairs),
    /// PostgreSQL is stopped, started or promoted past its agent.
    ByHand(Hand, MemberName),
    /// A server outside becomes a primary.
    PromoteRemote(MemberName),
    Restart(MemberName),
    Reinit(MemberName),
    Show,
}

/// Reads all commands, each with the number of its line.
pub(super) fn read(text: &str) -> Result<Vec<(usize, Command)>, String> {
    let mut commands = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split_once('#').map_or(line, |(line, _)| line).trim();
        if !line.is_empty() {
            let command = command(line).map_err(|why| format!("line {}: {why}", index + 1))?;
            commands.push((index + 1, command));
        }
    }
    Ok(commands)
}

/// Reads one command.
pub(super) fn command(line: &str) -> Result<Command, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Ok(match words.as_slice() {
        ["seed", number] => Command::Seed(
            number
                .parse()
                .map_err(|_| format!("`{number}` is not a seed"))?,
        ),
        ["archive"] => Command::Archive,
        ["remote", who] => Command::Remote(name(who)?),
        ["plant", bug] => Command::Plant(Planted::named(bug)?),
        ["cluster", rest @ ..] => cluster(rest)?,
        ["tags", who, rest @ ..] => Command::Tags(name(who)?, pairs(rest)?),
        ["watchdog", who, mode] => Command::Watchdog(name(who)?, (*mode).to_owned(), true),
        ["watchdog", who, mode, "without", "device"] => {
            Command::Watchdog(name(who)?, (*mode).to_owned(), false)
        }
        ["wait", how_long] => Command::Wait(span(how_long)?),
        ["until", condition @ .., "within", limit] => {
            Command::Until(Condition::parse(condition)?, span(limit)?)
        }
        ["expect", condition @ ..] => Command::Expect(Condition::parse(condition)?),
        words => Command::Do(Told {
            line: words.join(" "),
            deed: by_hand::deed(words)
                .or_else(|| faults::deed(words))
                .or_else(|| operator(words))
                .ok_or_else(|| {
                    format!("`{line}` is not understood; docs/simulator.md lists the commands")
                })??,
        }),
    })
}

fn cluster(words: &[&str]) -> Result<Command, String> {
    let (settings, names): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| word.contains('='));
    let mut leader = None;
    let mut members = Vec::new();
    for text in names {
        let member = name(text.trim_end_matches('*'))?;
        if text.ends_with('*') {
            leader = Some(member.clone());
        }
        members.push(member);
    }
    Ok(Command::Cluster {
        members,
        leader,
        settings: pairs(&settings)?,
    })
}

/// What an operator does. `None`: nothing of that kind.
fn operator(words: &[&str]) -> Option<Result<Deed, String>> {
    Some(match words {
        ["switchover", rest @ ..] => switchover(rest),
        ["failover", "to", to] => name(to).map(|to| Deed::Switchover {
            from: None,
            to: Some(to),
            after: None,
        }),
        ["pause"] => Ok(Deed::Config([("pause".into(), "true".into())].into())),
        ["resume"] => Ok(Deed::Config([("pause".into(), "null".into())].into())),
        ["config", rest @ ..] => pairs(rest).map(Deed::Config),
        ["promote", "remote", who] => name(who).map(Deed::PromoteRemote),
        ["restart", who] => name(who).map(Deed::Restart),
        ["reinit", who] => name(who).map(Deed::Reinit),
        _ => return None,
    })
}

fn switchover(words: &[&str]) -> Result<Deed, String> {
    let (words, after) = match words {
        [rest @ .., "in", how_long] => (rest, Some(span(how_long)?)),
        words => (words, None),
    };
    let (from, to) = match words {
        [from] => (name(from)?, None),
        [from, "to", to] => (name(from)?, Some(name(to)?)),
        _ => return Err("use `switchover FROM [to TO] [in 60s]`".to_owned()),
    };
    Ok(Deed::Switchover {
        from: Some(from),
        to,
        after,
    })
}

pub(super) fn name(text: &str) -> Result<MemberName, String> {
    MemberName::new(text).map_err(|error| error.to_string())
}

fn pairs(words: &[&str]) -> Result<Pairs, String> {
    words
        .iter()
        .map(|word| {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| format!("`{word}` is not key=value"))?;
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_are_passed_over_and_faults_carry_their_line() {
        let read_ok = read("# a comment\n\nwait 31s # half a minute\n").unwrap();
        assert_eq!(read_ok, [(3, Command::Wait(Duration::from_secs(31)))]);
        let error = read("wait 31s\nwait long").unwrap_err();
        assert!(error.starts_with("line 2: `long`"), "{error}");
    }

    #[test]
    fn a_star_marks_the_leader() {
        let (_, command) = read("cluster a* b ttl=20").unwrap().remove(0);
        let Command::Cluster {
            members,
            leader,
            settings,
        } = command
        else {
            panic!("{command:?}");
        };
        assert_eq!(members.len(), 2);
        assert_eq!(leader.unwrap().as_str(), "a");
        assert_eq!(settings["ttl"], "20");
    }
}
