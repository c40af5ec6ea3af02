//! `ttl`, `loop_wait`, `retry_timeout` and the rule between them (contract §2.2).

use std::time::Duration;

use crate::reader::Reader;

/// The three times everything else is derived from. Whole seconds, adjusted to keep the rule
/// `loop_wait + 2 * retry_timeout <= ttl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long the leader's lease lives without renewal.
    pub ttl: Duration,
    /// The longest sleep between two turns.
    pub loop_wait: Duration,
    /// The deadline of one operation on the DCS.
    pub retry_timeout: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(30),
            loop_wait: Duration::from_secs(10),
            retry_timeout: Duration::from_secs(10),
        }
    }
}

/// The smallest values, in seconds: as Patroni has them, and for a herd of our own.
struct Minima {
    ttl: i64,
    loop_wait: i64,
    retry_timeout: i64,
}

const PATRONI: Minima = Minima {
    ttl: 20,
    loop_wait: 1,
    retry_timeout: 3,
};
const SHORT: Minima = Minima {
    ttl: 3,
    loop_wait: 1,
    retry_timeout: 1,
};

impl Timing {
    /// Reads the three times and adjusts them. The minima of Patroni hold unless
    /// `pgherd.allow_short_ttl` is on, in either layer.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let short_allowed = reader.flag("pgherd.allow_short_ttl");
        let given = [
            reader.seconds("ttl"),
            reader.seconds("loop_wait"),
            reader.seconds("retry_timeout"),
        ];
        let (timing, messages) = Self::adjusted(given, short_allowed);
        messages.into_iter().for_each(|message| reader.say(message));
        timing
    }

    /// Adjusts ttl, loop_wait and retry_timeout, in seconds, to the minima and to the rule, and says in
    /// Patroni's words what it changed.
    pub fn adjusted(given: [i64; 3], short_allowed: bool) -> (Self, Vec<String>) {
        let mut messages = Vec::new();
        let minima = if short_allowed { SHORT } else { PATRONI };
        let mut at_least = |name: &str, value: i64, min: i64| {
            if value < min {
                messages.push(format!(
                    "{name}={value} can't be smaller than {min}, adjusting..."
                ));
            }
            value.max(min)
        };
        let [ttl, loop_wait, retry_timeout] = given;
        let ttl = at_least("ttl", ttl, minima.ttl);
        let loop_wait = at_least("loop_wait", loop_wait, minima.loop_wait);
        let retry_timeout = at_least("retry_timeout", retry_timeout, minima.retry_timeout);
        let twice = retry_timeout.saturating_mul(2);
        let (new_loop_wait, new_retry_timeout) = if twice.saturating_add(1) > ttl {
            (1, (ttl - 1) / 2)
        } else if loop_wait.saturating_add(twice) > ttl {
            (ttl - twice, retry_timeout)
        } else {
            (loop_wait, retry_timeout)
        };
        if (new_loop_wait, new_retry_timeout) != (loop_wait, retry_timeout) {
            messages.push(format!(
                "Violated the rule \"loop_wait + 2*retry_timeout <= ttl\", where ttl={ttl}: \
                 loop_wait={loop_wait} becomes {new_loop_wait}, \
                 retry_timeout={retry_timeout} becomes {new_retry_timeout}"
            ));
        }
        let span = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or(1));
        let timing = Self {
            ttl: span(ttl),
            loop_wait: span(new_loop_wait),
            retry_timeout: span(new_retry_timeout),
        };
        (timing, messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adjusted(given: [i64; 3], short: bool) -> ([u64; 3], usize) {
        let (timing, messages) = Timing::adjusted(given, short);
        let spans = [timing.ttl, timing.loop_wait, timing.retry_timeout];
        (spans.map(|span| span.as_secs()), messages.len())
    }

    #[test]
    fn times_keep_the_rule_as_patroni_does() {
        for (given, kept, messages) in [
            ([30, 10, 10], [30, 10, 10], 0),
            ([20, 10, 5], [20, 10, 5], 0),
            ([10, 10, 10], [20, 1, 9], 2),
            ([30, 0, 1], [30, 1, 3], 2),
            ([30, 11, 10], [30, 10, 10], 1),
            ([30, 10, 14], [30, 2, 14], 1),
            ([30, 10, 15], [30, 1, 14], 1),
            ([31, 10, 40], [31, 1, 15], 1),
            ([5, 1, 1], [20, 1, 3], 2),
        ] {
            assert_eq!(adjusted(given, false), (kept, messages), "{given:?}");
        }
    }

    #[test]
    fn a_herd_of_our_own_may_be_quick_and_its_ttl_is_never_raised() {
        for (given, kept, messages) in [
            ([3, 1, 1], [3, 1, 1], 0),
            ([5, 1, 2], [5, 1, 2], 0),
            ([10, 10, 3], [10, 4, 3], 1),
            ([4, 10, 10], [4, 1, 1], 1),
            ([2, 0, 0], [3, 1, 1], 3),
        ] {
            assert_eq!(adjusted(given, true), (kept, messages), "{given:?}");
        }
    }

    #[test]
    fn what_was_adjusted_is_said_in_words_that_people_search_for() {
        let (_, messages) = Timing::adjusted([15, 10, 10], false);
        assert_eq!(messages[0], "ttl=15 can't be smaller than 20, adjusting...");
        assert!(
            messages[1].starts_with("Violated the rule \"loop_wait + 2*retry_timeout <= ttl\", ")
        );
    }
}
