//! `POST /citus` (contract §20): a worker's leader tells the coordinator's that its primary changes.

use std::time::Duration;

use pgherd_domain::{CitusEvent, CitusStep, MemberName};
use serde_json::{Map, Value, json};

/// The longest time that a message may ask for.
const SPAN_MAX: f64 = 3600.0;

/// The body of the message.
pub fn body(event: &CitusEvent) -> Value {
    json!({
        "type": event.step.as_str(),
        "group": event.group,
        "leader": event.leader.as_str(),
        "timeout": event.timeout.as_secs_f64(),
        "cooldown": event.cooldown.as_secs_f64(),
    })
}

/// Reads a message. `None` when it does not say which group, or what happens there.
pub fn parse(body: &Map<String, Value>) -> Option<CitusEvent> {
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let span = |key: &str| {
        let seconds = body.get(key).and_then(Value::as_f64)?;
        Some(Duration::from_secs_f64(seconds.clamp(0.0, SPAN_MAX)))
    };
    let step = match text("type")? {
        "before_demote" => CitusStep::BeforeDemote,
        "before_promote" => CitusStep::BeforePromote,
        "after_promote" => CitusStep::AfterPromote,
        _ => return None,
    };
    Some(CitusEvent {
        step,
        group: body.get("group")?.as_u64()?.try_into().ok()?,
        leader: MemberName::new(text("leader")?).ok()?,
        timeout: span("timeout")?,
        cooldown: span("cooldown")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_as_it_was_sent() {
        for step in [
            CitusStep::BeforeDemote,
            CitusStep::BeforePromote,
            CitusStep::AfterPromote,
        ] {
            let event = CitusEvent {
                step,
                group: 3,
                leader: MemberName::new("w1").unwrap(),
                timeout: Duration::from_secs(20),
                cooldown: Duration::from_millis(2500),
            };
            assert_eq!(parse(body(&event).as_object().unwrap()), Some(event));
        }
    }

    #[test]
    fn what_is_no_message_is_none() {
        let good = json!({"type": "before_demote", "group": 1, "leader": "a", "timeout": 20, "cooldown": 10});
        let good = good.as_object().unwrap();
        assert!(parse(good).is_some());
        for (key, value) in [
            ("type", json!("demote")),
            ("group", json!(-1)),
            ("group", json!("1")),
            ("group", json!(1u64 << 40)),
            ("leader", json!("")),
            ("timeout", json!("soon")),
            ("cooldown", json!(null)),
        ] {
            let mut bad = good.clone();
            bad.insert(key.to_owned(), value);
            assert_eq!(parse(&bad), None, "{bad:?}");
        }
        let mut endless = good.clone();
        endless.insert("timeout".to_owned(), json!(1e300));
        let longest = parse(&endless).map(|event| event.timeout);
        assert_eq!(longest, Some(Duration::from_secs(3600)));
    }
}
