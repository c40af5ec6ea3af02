//! Reading faults: what a scenario does to the network, the DCS, processes and disks.

use pgherd_domain::MemberName;

use super::parse::{Damage, Dcs, Deed, Process, name};
use super::span;
use crate::dice::Span;
use crate::network::Place;
use crate::process::Crash;

/// Faults. `None`: not one of them.
pub(super) fn deed(words: &[&str]) -> Option<Result<Deed, String>> {
    Some(match words {
        ["cut", who, "from", others] => cut(who, others, true),
        ["cut", who, "to", others] => cut(who, others, false),
        ["heal"] => Ok(Deed::Heal),
        ["kill", what, who] => process(what, who).map(|(what, who)| Deed::Kill(what, who)),
        ["start", what, who] => process(what, who).map(|(what, who)| Deed::Start(what, who)),
        ["revive", who] => name(who).map(Deed::Revive),
        ["stop", "agent", who] => name(who).map(Deed::Stop),
        ["fail", many, "starts", "of", who] => {
            name(who).and_then(|who| Ok(Deed::FailStarts(who, count(many)?)))
        }
        ["spare", "agent", who] => name(who).map(Deed::Spare),
        ["slow", "sql", "at", who, how_long] => {
            name(who).and_then(|who| Ok(Deed::SlowSql(who, span(how_long)?)))
        }
        ["slow", "disk", "of", who, "by", times] => name(who).and_then(|who| {
            let times = count(times)?;
            Ok(Deed::SlowDisk(who, times.max(1)))
        }),
        [
            "crash",
            "agent",
            who,
            when @ ("before" | "after"),
            "write",
            write,
        ] => name(who).and_then(|who| {
            let crash = Crash {
                write: count(write)?.max(1),
                after: *when == "after",
            };
            Ok(Deed::Crash(who, crash))
        }),
        ["latency", least, most] => latency(least, most),
        ["jump", who, "by", seconds] => {
            name(who).and_then(|who| Ok(Deed::Jump(who, number(seconds)?)))
        }
        ["drift", who, ppm] => name(who).and_then(|who| Ok(Deed::Drift(who, number(ppm)?))),
        ["wipe", "disk", "of", who] => name(who).map(|who| Deed::Disk(who, Damage::Wiped)),
        ["spoil", "disk", "of", who] => name(who).map(|who| Deed::Disk(who, Damage::Spoilt)),
        ["write", size, "at", who] => name(who).and_then(|who| Ok(Deed::Write(bytes(size)?, who))),
        ["remove", "wal", "of", who] => name(who).map(Deed::RemoveWal),
        ["show"] => Ok(Deed::Show),
        words => return on_dcs(words).or_else(|| lasting(words)),
    })
}

/// Faults of the DCS. `None`: not one of them.
fn on_dcs(words: &[&str]) -> Option<Result<Deed, String>> {
    let what = match words {
        ["dcs", "down"] => Ok(Dcs::Down),
        ["dcs", "silent"] => Ok(Dcs::Silent),
        ["dcs", "up"] => Ok(Dcs::Up),
        ["dcs", "wipe"] => Ok(Dcs::Wipe),
        ["dcs", "revoke", who] => name(who).map(Dcs::Revoke),
        ["dcs", "delete", key] => Ok(Dcs::Delete((*key).to_owned())),
        ["dcs", "put", key, value] => Ok(Dcs::Put((*key).to_owned(), (*value).to_owned())),
        ["dcs", "slow", how_long] => span(how_long).map(Dcs::Slow),
        ["dcs", "behind", who] => name(who).map(|who| Dcs::Behind(who, true)),
        ["dcs", "current", who] => name(who).map(|who| Dcs::Behind(who, false)),
        ["kill", "watch", "of", who] => name(who).map(|who| Dcs::Unwatched(who, true)),
        ["restart", "watch", "of", who] => name(who).map(|who| Dcs::Unwatched(who, false)),
        _ => return None,
    };
    Some(what.map(Deed::Dcs))
}

/// Faults that last until they are ended, and their ends. `None`: not one of them.
fn lasting(words: &[&str]) -> Option<Result<Deed, String>> {
    let (deed, who, begins): (fn(MemberName, bool) -> Deed, _, _) = match words {
        ["freeze", "agent", who] => (Deed::Freeze, who, true),
        ["thaw", "agent", who] => (Deed::Freeze, who, false),
        ["freeze", "fence", who] => (Deed::FreezeFence, who, true),
        ["thaw", "fence", who] => (Deed::FreezeFence, who, false),
        ["stick", "agent", who] => (Deed::Stick, who, true),
        ["unstick", "agent", who] => (Deed::Stick, who, false),
        ["suspend", "host", who] => (Deed::Suspend, who, true),
        ["wake", "host", who] => (Deed::Suspend, who, false),
        ["hang", "postgres", who] => (Deed::Hang, who, true),
        ["unhang", "postgres", who] => (Deed::Hang, who, false),
        ["freeze", "postmaster", who] => (Deed::FreezePostmaster, who, true),
        ["thaw", "postmaster", who] => (Deed::FreezePostmaster, who, false),
        ["freeze", "backends", who] => (Deed::FreezeBackends, who, true),
        ["thaw", "backends", who] => (Deed::FreezeBackends, who, false),
        ["stall", who] => (Deed::Stall, who, true),
        ["unstall", who] => (Deed::Stall, who, false),
        ["fill", "disk", "of", who] => (Deed::FullDisk, who, true),
        ["free", "disk", "of", who] => (Deed::FullDisk, who, false),
        _ => return None,
    };
    Some(name(who).map(|who| deed(who, begins)))
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

fn count(text: &str) -> Result<u32, String> {
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
