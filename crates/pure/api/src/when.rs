//! Planned moments as people write them: ISO 8601, with an offset on the wire, in the local zone on the
//! command line (contract §16.7, §18.2).

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::fmt::rfc2822;
use jiff::fmt::temporal::{Pieces, PiecesOffset};
use jiff::tz::{Offset, TimeZone};
use pgherd_domain::WallTime;
use pgherd_domain::documents::Schedule;

/// A moment that was read from a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    local: DateTime,
    offset: Offset,
    at: WallTime,
}

/// Why a text is no planned moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoMoment {
    /// It does not say its offset from UTC.
    #[error("the time has no offset from UTC; write one, such as +02:00 or Z")]
    NoOffset,
    /// It is not ISO 8601.
    #[error("the time is not in an unambiguous format; write it such as 2026-11-24T03:00+00:00")]
    NotUnderstood,
}

impl When {
    /// Reads a time that names its offset.
    ///
    /// # Errors
    /// When there is no offset, or when it is no time.
    pub fn parse(text: &str) -> Result<Self, NoMoment> {
        match read(text)? {
            (local, Some(offset)) => Self::new(local, offset),
            (_, None) => Err(NoMoment::NoOffset),
        }
    }

    /// Reads a time; one without an offset is meant in `zone`, and a time of day alone, such as `03:30`, on the day
    /// that it is there `now`.
    ///
    /// # Errors
    /// When it is no time.
    pub fn parse_in(text: &str, zone: &TimeZone, now: WallTime) -> Result<Self, NoMoment> {
        let (local, offset) = match time_of_day(text) {
            Some(time) => {
                let now = Timestamp::from_microsecond(now.as_micros())
                    .map_err(|_| NoMoment::NotUnderstood)?;
                (now.to_zoned(zone.clone()).date().to_datetime(time), None)
            }
            None => read(text)?,
        };
        if let Some(offset) = offset {
            return Self::new(local, offset);
        }
        let zoned = zone
            .to_ambiguous_zoned(local)
            .compatible()
            .map_err(|_| NoMoment::NotUnderstood)?;
        Self::new(zoned.datetime(), zoned.offset())
    }

    fn new(local: DateTime, offset: Offset) -> Result<Self, NoMoment> {
        let stamp = offset
            .to_timestamp(local)
            .map_err(|_| NoMoment::NotUnderstood)?;
        let at = WallTime::from_micros(stamp.as_microsecond());
        Ok(Self { local, offset, at })
    }

    /// The moment.
    pub const fn at(&self) -> WallTime {
        self.at
    }

    /// ISO 8601 with the offset as given, such as `2026-11-24T03:00:00+02:00`.
    pub fn iso(&self) -> String {
        self.format('T')
    }

    /// The same with a space before the time, for sentences.
    pub fn sentence(&self) -> String {
        self.format(' ')
    }

    /// As it is stored in `/failover`.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            text: self.iso(),
            at: self.at,
        }
    }

    fn format(&self, between: char) -> String {
        let micros = self.local.subsec_nanosecond() / 1_000;
        let fraction = if micros == 0 {
            String::new()
        } else {
            format!(".{micros:06}")
        };
        let (date, time) = (self.local.date(), self.local.strftime("%H:%M:%S"));
        let seconds = self.offset.seconds();
        let sign = if seconds < 0 { '-' } else { '+' };
        let minutes = seconds.abs() / 60;
        format!(
            "{date}{between}{time}{fraction}{sign}{:02}:{:02}",
            minutes / 60,
            minutes % 60
        )
    }
}

/// `3:30`, `03:30` or `03:30:15`.
fn time_of_day(text: &str) -> Option<Time> {
    let parts = text.trim().split(':').map(|part| {
        let is_number = (1..=2).contains(&part.len()) && part.bytes().all(|it| it.is_ascii_digit());
        is_number.then(|| part.parse::<i8>().ok()).flatten()
    });
    match *parts.collect::<Option<Vec<_>>>()?.as_slice() {
        [hour, minute] => Time::new(hour, minute, 0, 0).ok(),
        [hour, minute, second] => Time::new(hour, minute, second, 0).ok(),
        _ => None,
    }
}

/// Date and time, and the offset when there is one. A date alone means its midnight. `date -R` writes what mails
/// have, with the names of day and month.
fn read(text: &str) -> Result<(DateTime, Option<Offset>), NoMoment> {
    if let Ok(zoned) = rfc2822::parse(text.trim()) {
        return Ok((zoned.datetime(), Some(zoned.offset())));
    }
    let joined = joined(text);
    let pieces = Pieces::parse(&joined).map_err(|_| NoMoment::NotUnderstood)?;
    let time = pieces.time().unwrap_or(Time::midnight());
    let offset = pieces.offset().map(|offset| match offset {
        PiecesOffset::Zulu => Offset::UTC,
        PiecesOffset::Numeric(numeric) => numeric.offset(),
        // the type is open for what ISO 8601 may grow
        _ => Offset::UTC,
    });
    Ok((pieces.date().to_datetime(time), offset))
}

/// `2026-11-24 03:00 +02`, `2026/11/24 ...` and `... UTC` are unambiguous, too: the offset moves up to the time.
fn joined(text: &str) -> String {
    let mut text = text.trim().to_owned();
    if let [_, _, _, _, b'/', _, _, b'/', ..] = text.as_bytes() {
        text = text.replace('/', "-");
    }
    let text = text
        .strip_suffix("UTC")
        .or_else(|| text.strip_suffix("GMT"))
        .map_or_else(|| text.to_owned(), |stamp| format!("{}Z", stamp.trim_end()));
    text.replace(" +", "+")
        .replace(" -", "-")
        .replace(" Z", "Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_an_offset_keep_it() {
        for (text, iso) in [
            ("2027-01-01T10:00:00Z", "2027-01-01T10:00:00+00:00"),
            ("2027-01-01T10:00+01:00", "2027-01-01T10:00:00+01:00"),
            (
                "2027-01-01 10:00:00.25+0530",
                "2027-01-01T10:00:00.250000+05:30",
            ),
            ("2027-01-01 10:00 -03", "2027-01-01T10:00:00-03:00"),
            ("2027-01-01T10:00:00 UTC", "2027-01-01T10:00:00+00:00"),
            ("2027/01/01 10:00 Z", "2027-01-01T10:00:00+00:00"),
            (
                "Fri, 01 Jan 2027 10:00:00 +0100",
                "2027-01-01T10:00:00+01:00",
            ),
            ("1 Jan 2027 10:00:00 GMT", "2027-01-01T10:00:00+00:00"),
        ] {
            assert_eq!(When::parse(text).unwrap().iso(), iso, "{text}");
        }
        assert_eq!(
            When::parse("2027-01-01T10:00+01:00").unwrap().at().iso(),
            "2027-01-01T09:00:00.000000+00:00"
        );
    }

    #[test]
    fn a_missing_offset_and_nonsense_are_told_apart() {
        assert_eq!(When::parse("2027-01-01T10:00:00"), Err(NoMoment::NoOffset));
        assert_eq!(When::parse("2027-01-01"), Err(NoMoment::NoOffset));
        for text in [
            "",
            "xx",
            "tomorrow",
            "2027-13-01T10:00Z",
            "10/11/12",
            "01/02/2027 10:00Z",
        ] {
            assert_eq!(When::parse(text), Err(NoMoment::NotUnderstood), "{text}");
        }
    }

    #[test]
    fn the_local_zone_gives_the_offset_of_that_day() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        // 2026-11-24T23:30:00Z, which is the 25th there
        let now = WallTime::from_micros(1_795_563_000_000_000);
        for (text, iso) in [
            ("2026-12-01T10:00", "2026-12-01T10:00:00+01:00"),
            ("2026-07-01 10:00:00", "2026-07-01T10:00:00+02:00"),
            ("2026-07-01T10:00Z", "2026-07-01T10:00:00+00:00"),
            ("03:30", "2026-11-25T03:30:00+01:00"),
            (" 3:30:15 ", "2026-11-25T03:30:15+01:00"),
        ] {
            let when = When::parse_in(text, &zone, now).unwrap();
            assert_eq!(when.iso(), iso, "{text}");
        }
        for text in [
            "24:00",
            "3",
            "03:60",
            "003:30",
            "3:30:",
            "03:30:00:00",
            "+3:30",
        ] {
            assert_eq!(
                When::parse_in(text, &zone, now),
                Err(NoMoment::NotUnderstood),
                "{text}"
            );
        }
        let summer = When::parse_in("2026-07-01T10:00", &zone, now).unwrap();
        assert_eq!(summer.sentence(), "2026-07-01 10:00:00+02:00");
    }
}
