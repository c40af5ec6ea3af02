//! `recovery_min_apply_delay`: a standby with one that PostgreSQL does not take would not start (contract §3.2).

use serde_json::Value;

use crate::reader::Reader;
use crate::value::{self, TimeUnit};

/// The longest that PostgreSQL counts, in milliseconds.
const LONGEST: i64 = i32::MAX as i64;

/// The delay as PostgreSQL takes it: what is beyond its range is put into it, and what is no time is left out. Both are
/// told at `path`.
pub(crate) fn fitting(reader: &mut Reader<'_>, path: &str, given: &str) -> Option<String> {
    let Some(micros) = value::micros(&Value::String(given.to_owned()), TimeUnit::Millisecond)
    else {
        let problem = format!(
            "is {given:?}, which is no time, and is left out; use a number with ms, s, min, h or d"
        );
        reader.warn(path, problem);
        return None;
    };
    let millis = micros.div_euclid(1_000);
    let nearest = millis.clamp(0, LONGEST);
    if nearest != millis {
        let problem = format!("is {given:?}, which is out of range; {nearest}ms counts");
        reader.warn(path, problem);
        return Some(format!("{nearest}ms"));
    }
    // PostgreSQL knows its units in small letters only, and no `_` between digits.
    Some(given.to_ascii_lowercase().replace('_', ""))
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::document::Places;

    #[test]
    fn a_delay_with_which_a_standby_would_not_start_is_mended_or_left_out() {
        let (nothing, places) = (Map::new(), Places::default());
        for (given, taken, warnings) in [
            ("1h", Some("1h"), 0),
            ("500", Some("500"), 0),
            ("1.5 h", Some("1.5 h"), 0),
            ("5 MIN", Some("5 min"), 0),
            ("-1", Some("0ms"), 1),
            ("25d", Some("2147483647ms"), 1),
            ("5 bananas", None, 1),
            ("", None, 1),
        ] {
            let mut reader = Reader::new(&nothing, &places);
            let fitting = fitting(&mut reader, "x", given);
            assert_eq!(fitting.as_deref(), taken, "{given}");
            assert_eq!(reader.warnings.len(), warnings, "{given}");
        }
    }
}
