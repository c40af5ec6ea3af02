//! `PATCH` and `PUT /config`: the dynamic configuration, checked before it is written.

use pgherd_api::orders;
use pgherd_ports::{Condition, Key, Written};
use pgherd_settings::validate_dynamic;
use serde_json::Value;

use crate::app::App;
use crate::reads::fresh;
use crate::reply::Reply;

/// `PATCH /config`: merges, and writes if that changes anything and nobody was faster.
pub(crate) async fn patch(app: &App, body: Option<&[u8]>) -> Result<Reply, Reply> {
    let patch = orders::required(body)?;
    let view = fresh(&app.desk).await.map_err(|_| Reply::page(503))?;
    let config = view.config.ok_or_else(|| Reply::page(503))?;
    let mut merged = config.value.clone();
    pgherd_settings::patch(&mut merged, patch.into());
    if merged == config.value {
        return Ok(Reply::json(&merged));
    }
    check(&merged)?;
    let condition = Condition::unchanged(Some(config.revision));
    match app
        .desk
        .dcs
        .put(&Key::Config, &merged.to_string(), condition)
        .await
    {
        Ok(Written::Done(_)) => Ok(written(app, &merged)),
        Ok(Written::Refused) => Err(Reply::page(409)),
        Err(_) => Err(Reply::page(503)),
    }
}

/// `PUT /config`: replaces.
pub(crate) async fn put(app: &App, body: Option<&[u8]>) -> Result<Reply, Reply> {
    let config = orders::required(body)?.into();
    check(&config)?;
    match app
        .desk
        .dcs
        .put(&Key::Config, &config.to_string(), Condition::ALWAYS)
        .await
    {
        Ok(Written::Done(_)) => Ok(written(app, &config)),
        Ok(Written::Refused) | Err(_) => Err(Reply::page(502)),
    }
}

fn written(app: &App, config: &Value) -> Reply {
    app.desk.wake.wake();
    Reply::json(config)
}

/// Lets a configuration pass that every member can work with; else tells all its faults.
fn check(config: &Value) -> Result<(), Reply> {
    match validate_dynamic(config) {
        Ok(warnings) => {
            for warning in warnings {
                tracing::warn!(%warning, "take a dynamic configuration that is odd");
            }
            Ok(())
        }
        Err(faults) => Err(Reply::sentence(400, faults.to_string())),
    }
}
