//! `POST /failsafe` (contract §12): a leader that can not reach the DCS asks the others not to race.
//!
//! Patroni's members count ttl from when they heard. Between members of pgherd a header says for how long the
//! leader asks, and the answer carries the same header with what was promised.

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::{Accepted, Lsn, MemberName, Plea};
use serde_json::{Map, Value};

/// For how long, in milliseconds: in a request what is asked for, in an answer what is promised.
pub const PROMISE_HEADER: &str = "pgherd-promise";
/// How far the WAL of the one that answers reaches, in bytes.
pub const LSN_HEADER: &str = "lsn";
/// The body of an acceptance.
pub const ACCEPTED: &str = "Accepted";

/// The body of the request.
pub fn body(plea: &Plea) -> Value {
    let slots: Map<String, Value> = plea
        .slots
        .iter()
        .map(|(slot, lsn)| (slot.clone(), lsn.as_u64().into()))
        .collect();
    let mut body = Map::new();
    body.insert("name".into(), plea.name.as_str().into());
    body.insert("conn_url".into(), plea.conn_url.clone().into());
    body.insert("api_url".into(), plea.api_url.clone().into());
    body.insert("slots".into(), slots.into());
    Value::Object(body)
}

/// Reads a request. `None` when it does not say who asks.
pub fn parse(body: &Value, promise: Option<&str>) -> Option<Plea> {
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let slots = body.get("slots").and_then(Value::as_object);
    let slots: BTreeMap<String, Lsn> = slots
        .into_iter()
        .flatten()
        .filter_map(|(slot, lsn)| Some((slot.clone(), Lsn::new(lsn.as_u64()?))))
        .collect();
    Some(Plea {
        name: MemberName::new(text("name")?).ok()?,
        conn_url: text("conn_url").unwrap_or_default().to_owned(),
        api_url: text("api_url").unwrap_or_default().to_owned(),
        slots,
        span: promise.and_then(millis),
    })
}

/// Reads an answer: its code, its body and its two headers. `None`: it is no acceptance.
pub fn accepted(
    code: u16,
    body: &str,
    promise: Option<&str>,
    lsn: Option<&str>,
) -> Option<Accepted> {
    (code == 200 && body.trim() == ACCEPTED).then(|| Accepted {
        span: promise.and_then(millis),
        lsn: lsn.and_then(|lsn| lsn.trim().parse().ok()).map(Lsn::new),
    })
}

/// A span as the header has it.
pub fn header(span: Duration) -> String {
    span.as_millis().to_string()
}

fn millis(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plea() -> Plea {
        Plea {
            name: MemberName::new("a").unwrap(),
            conn_url: "postgres://10.0.0.1:5432/postgres".into(),
            api_url: "http://10.0.0.1:8008/patroni".into(),
            slots: [("b".to_owned(), Lsn::new(42))].into(),
            span: Some(Duration::from_millis(5_100)),
        }
    }

    #[test]
    fn what_is_asked_is_understood() {
        let sent = (body(&plea()), header(Duration::from_millis(5_100)));
        assert_eq!(parse(&sent.0, Some(&sent.1)), Some(plea()));
        assert_eq!(
            sent.0.to_string(),
            r#"{"name":"a","conn_url":"postgres://10.0.0.1:5432/postgres","api_url":"http://10.0.0.1:8008/patroni","slots":{"b":42}}"#
        );
    }

    #[test]
    fn a_plea_of_patroni_says_no_span_and_may_have_no_slots() {
        let sent = serde_json::json!({"name": "a", "conn_url": "x", "api_url": "y", "slots": null});
        let read = parse(&sent, None).unwrap();
        assert_eq!((read.span, read.slots.len()), (None, 0));
        assert_eq!(parse(&serde_json::json!({"conn_url": "x"}), None), None);
    }

    #[test]
    fn only_the_word_accepted_is_an_acceptance() {
        let yes = accepted(200, "Accepted", Some("5100"), Some("1000")).unwrap();
        assert_eq!(yes.span, Some(Duration::from_millis(5_100)));
        assert_eq!(yes.lsn, Some(Lsn::new(1_000)));
        let of_patroni = accepted(200, "Accepted\n", None, Some("?")).unwrap();
        assert_eq!((of_patroni.span, of_patroni.lsn), (None, None));
        assert_eq!(accepted(500, "Running as a leader", None, None), None);
        assert_eq!(accepted(200, "OK", None, None), None);
    }
}
