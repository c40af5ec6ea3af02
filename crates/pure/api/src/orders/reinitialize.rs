//! `POST /reinitialize`.

use pgherd_domain::Operation;
use pgherd_settings::value::flag;
use serde_json::{Map, Value};

/// Reads the order; what is not a boolean counts as not given.
pub fn reinitialize(body: &Map<String, Value>) -> Operation {
    let on = |name: &str| body.get(name).and_then(flag).unwrap_or(false);
    Operation::Reinitialize {
        force: on("force"),
        from_leader: on("from_leader"),
    }
}
