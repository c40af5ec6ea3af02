//! `POST /delayed`: where the replay of a delayed standby is to stop, or that it goes on. Ours.

use pgherd_domain::Operation;
use serde_json::{Map, Value};

use super::Rejection;
use crate::when::When;

/// Reads the order: `stop_before` with a time, or `resume`.
///
/// # Errors
/// 400 when it is neither, or the time is none that names its offset.
pub fn delayed(body: &Map<String, Value>) -> Result<Operation, Rejection> {
    let rejected = |text: String| Rejection::text(400, text);
    match (body.get("stop_before"), body.get("resume")) {
        (Some(Value::String(text)), None) => {
            let when = When::parse(text).map_err(|error| rejected(error.to_string()))?;
            let time = Some(when.at());
            Ok(Operation::StopBefore { time })
        }
        (None, Some(Value::Bool(true))) => Ok(Operation::StopBefore { time: None }),
        (_, _) => Err(rejected(
            "say either \"stop_before\" with a time, such as \"2026-11-26T14:03:00+00:00\", or \
             \"resume\": true"
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Operation, Rejection> {
        let body: Value = serde_json::from_str(json).unwrap();
        delayed(body.as_object().unwrap())
    }

    #[test]
    fn an_order_is_one_of_the_two() {
        let stop = read(r#"{"stop_before": "2026-11-26T14:03:00+02:00"}"#).unwrap();
        let Operation::StopBefore { time: Some(time) } = stop else {
            panic!("{stop:?}");
        };
        assert_eq!(time.iso(), "2026-11-26T12:03:00.000000+00:00");
        assert_eq!(
            read(r#"{"resume": true}"#).unwrap(),
            Operation::StopBefore { time: None }
        );
        for wrong in [
            "{}",
            r#"{"resume": false}"#,
            r#"{"stop_before": "2026-11-26T14:03:00"}"#,
            r#"{"stop_before": 5}"#,
            r#"{"stop_before": "2026-11-26T14:03:00Z", "resume": true}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
