//! Bodies of requests: JSON objects.

use serde_json::{Map, Value};

use super::Rejection;

/// Reads a body that must hold something. `None`: the request had no length.
///
/// # Errors
/// 411 without a length; 400 when it is no JSON object or an empty one.
pub fn required(body: Option<&[u8]>) -> Result<Map<String, Value>, Rejection> {
    let body = body.ok_or(Rejection::Page(411))?;
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) if !map.is_empty() => Ok(map),
        Ok(_) | Err(_) => Err(Rejection::Page(400)),
    }
}

/// Reads a body that may be missing or empty.
///
/// # Errors
/// 400 when there is something that is no JSON object.
pub fn optional(body: Option<&[u8]>) -> Result<Map<String, Value>, Rejection> {
    match body {
        None | Some([]) => Ok(Map::new()),
        Some(body) => match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Ok(map),
            Ok(_) | Err(_) => Err(Rejection::Page(400)),
        },
    }
}
