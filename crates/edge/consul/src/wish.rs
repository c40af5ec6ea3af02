//! What a session is asked to be: how long it lives, and what may end it.

use std::time::Duration;

use serde_json::{Value, json};

/// How many times Consul counts a session's TTL before it ends it.
pub(crate) const MULTIPLIER: u32 = 2;
/// The longest time for which Consul keeps a key back after its session has ended.
const LOCK_DELAY_MAX: Duration = Duration::from_secs(60);
/// Consul takes 0 for its own default, 15 s.
const LOCK_DELAY_MIN: Duration = Duration::from_millis(1);

/// What a session is asked to be. A check may end it at any moment, also while this member, cut off, still counts on its
/// lease: then Consul keeps the key from everybody until the lease has run out here as well. Where it can not, for it does
/// so for a minute at most, the session has no checks.
pub(crate) fn wish(name: &str, checks: &[String], ttl: Duration, session_ttl: Duration) -> Value {
    let (checks, delay) = match checks {
        [] => (checks, LOCK_DELAY_MIN),
        _ if ttl <= LOCK_DELAY_MAX => (checks, ttl),
        _ => {
            tracing::warn!(
                "`consul.checks` are left out while ttl is more than {LOCK_DELAY_MAX:?}: a session that a check ends early \
                 would let another member lead beside this one"
            );
            (&[][..], LOCK_DELAY_MIN)
        }
    };
    json!({
        "Name": name,
        "Checks": checks,
        "LockDelay": written(delay),
        "Behavior": "delete",
        "TTL": written(session_ttl),
    })
}

/// Half of ttl, rounded up, for the lease must not end before we believe it does.
pub(crate) fn half(ttl: Duration) -> Duration {
    let millis = u64::try_from(ttl.as_nanos().div_ceil(1_000_000 * u128::from(MULTIPLIER)));
    Duration::from_millis(millis.unwrap_or(u64::MAX).max(1))
}

/// A time as Consul reads it.
fn written(span: Duration) -> String {
    match span.subsec_nanos() {
        0 => format!("{}s", span.as_secs()),
        _ => format!("{}ms", span.as_nanos().div_ceil(1_000_000)),
    }
}

/// The shortest TTL that Consul takes, out of its refusal of a shorter one.
pub(crate) fn least(text: &str) -> Option<Duration> {
    let range = text.strip_prefix("Invalid Session TTL")?;
    let (least, _) = range.split_once('[')?.1.split_once('=')?;
    let mut rest = least;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|one: char| !one.is_ascii_digit() && one != '.')?;
        let (number, unit) = rest.split_at(digits);
        let letters = unit.find(|one: char| one.is_ascii_digit());
        let (unit, tail) = unit.split_at(letters.unwrap_or(unit.len()));
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        sum = sum.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = tail;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    #[test]
    fn a_lease_is_never_shorter_than_believed() {
        for millis in [1, 3, 2_501, 20_000, 30_000, 33_333] {
            let ttl = Duration::from_millis(millis);
            let session = half(ttl);
            assert!(session * MULTIPLIER >= ttl, "{ttl:?}");
            assert!(
                session * MULTIPLIER <= ttl + Duration::from_millis(2),
                "{ttl:?}"
            );
        }
        assert_eq!(written(half(TTL)), "15s");
        assert_eq!(written(half(Duration::from_secs(5))), "2500ms");
    }

    #[test]
    fn a_refusal_names_the_shortest_session() {
        let refusal = |range| {
            least(&format!(
                "Invalid Session TTL '1', must be between [{range}]"
            ))
        };
        assert_eq!(refusal("10s=24h0m0s"), Some(Duration::from_secs(10)));
        assert_eq!(refusal("1m30s=24h0m0s"), Some(Duration::from_secs(90)));
        assert_eq!(refusal("1.5s=24h0m0s"), Some(Duration::from_millis(1500)));
        assert_eq!(refusal("500ms=24h0m0s"), Some(Duration::from_millis(500)));
        assert_eq!(refusal("soon=24h0m0s"), None);
        assert_eq!(
            refusal("18000000000000000000s18000000000000000000s=1s"),
            None
        );
        assert_eq!(least("No cluster leader"), None);
    }

    #[test]
    fn where_a_check_may_end_the_session_early_the_key_is_kept_back_until_the_lease_is_over() {
        let delay = |checks: &[String], ttl| {
            let wish = wish("demo-a", checks, ttl, half(ttl));
            let checks = wish.get("Checks").and_then(Value::as_array).map(Vec::len);
            (checks, wish.get("LockDelay").cloned())
        };
        let serf = ["serfHealth".to_owned()];
        assert_eq!(delay(&[], TTL), (Some(0), Some("1ms".into())));
        assert_eq!(delay(&serf, TTL), (Some(1), Some("30s".into())));
        assert_eq!(delay(&serf, TTL * 3), (Some(0), Some("1ms".into())));
    }
}
