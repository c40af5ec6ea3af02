//! Reading scenarios: one command a line, in words a DBA would use.

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::MemberName;

use super::condition::Condition;
use super::span;
use crate::dice::Span;
use crate::network::Place;

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
    Hang(MemberName, bool),
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
    Switchover {
        from: Option<MemberName>,
        to: Option<MemberName>,
        after: Option<Duration>,
    },
    Config(Pairs),
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
            deed: deed(words).or_else(|| operator(words)).ok_or_else(|| {
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

/// Faults. `None`: not one of them.
fn deed(words: &[&str]) -> Option<Result<Deed, String>> {
    Some(match words {
        ["cut", who, "from", others] => cut(who, others, true),
        ["cut", who, "to", others] => cut(who, others, false),
        ["heal"] => Ok(Deed::Heal),
        ["dcs", "down"] => Ok(Deed::Dcs(Dcs::Down)),
        ["dcs", "silent"] => Ok(Deed::Dcs(Dcs::Silent)),
        ["dcs", "up"] => Ok(Deed::Dcs(Dcs::Up)),
        ["dcs", "wipe"] => Ok(Deed::Dcs(Dcs::Wipe)),
        ["dcs", "revoke", who] => name(who).map(|who| Deed::Dcs(Dcs::Revoke(who))),
        ["dcs", "delete", key] => Ok(Deed::Dcs(Dcs::Delete((*key).to_owned()))),
        ["kill", what, who] => process(what, who).map(|(what, who)| Deed::Kill(what, who)),
        ["start", what, who] => process(what, who).map(|(what, who)| Deed::Start(what, who)),
        ["revive", who] => name(who).map(Deed::Revive),
        ["stop", "agent", who] => name(who).map(Deed::Stop),
        ["freeze", "agent", who] => name(who).map(|who| Deed::Freeze(who, true)),
        ["thaw", "agent", who] => name(who).map(|who| Deed::Freeze(who, false)),
        ["freeze", "fence", who] => name(who).map(|who| Deed::FreezeFence(who, true)),
        ["thaw", "fence", who] => name(who).map(|who| Deed::FreezeFence(who, false)),
        ["hang", "postgres", who] => name(who).map(|who| Deed::Hang(who, true)),
        ["unhang", "postgres", who] => name(who).map(|who| Deed::Hang(who, false)),
        ["stall", who] => name(who).map(|who| Deed::Stall(who, true)),
        ["unstall", who] => name(who).map(|who| Deed::Stall(who, false)),
        ["fail", count, "starts", "of", who] => name(who).and_then(|who| {
            let count = count
                .parse()
                .map_err(|_| format!("`{count}` is not a number"))?;
            Ok(Deed::FailStarts(who, count))
        }),
        ["latency", least, most] => latency(least, most),
        ["jump", who, "by", seconds] => {
            name(who).and_then(|who| Ok(Deed::Jump(who, number(seconds)?)))
        }
        ["drift", who, ppm] => name(who).and_then(|who| Ok(Deed::Drift(who, number(ppm)?))),
        ["wipe", "disk", "of", who] => name(who).map(|who| Deed::Disk(who, Damage::Wiped)),
        ["spoil", "disk", "of", who] => name(who).map(|who| Deed::Disk(who, Damage::Spoilt)),
        ["write", size, "at", who] => name(who).and_then(|who| Ok(Deed::Write(bytes(size)?, who))),
        ["show"] => Ok(Deed::Show),
        _ => return None,
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

fn cut(who: &str, others: &str, both_ways: bool) -> Result<Deed, String> {
    let place = |text: &str| Place::parse(text).ok_or_else(|| format!("`{text}` is no place"));
    Ok(Deed::Cut {
        from: place(who)?,
        to: others.split(',').map(place).collect::<Result<_, _>>()?,
        both_ways,
    })
}

fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

fn latency(least: &str, most: &str) -> Result<Deed, String> {
    let millis = |text| {
        let span = span(text)?.as_millis();
        u64::try_from(span).map_err(|error| error.to_string())
    };
    Ok(Deed::Latency(Span::millis(millis(least)?, millis(most)?)))
}

fn process(what: &str, who: &str) -> Result<(Process, MemberName), String> {
    let what = match what {
        "postgres" => Process::Postgres,
        "agent" => Process::Agent,
        "host" => Process::Host,
        other => return Err(format!("`{other}` is not postgres, agent or host")),
    };
    Ok((what, name(who)?))
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

fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; use for example 512kB or 16MB");
    let digits = text.trim_end_matches(char::is_alphabetic);
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    match text.get(digits.len()..) {
        Some("B") => Ok(number),
        Some("kB") => Ok(number << 10),
        Some("MB") => Ok(number << 20),
        Some(_) | None => Err(wrong()),
    }
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
