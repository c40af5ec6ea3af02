//! `POST /failsafe` (contract §12): a leader that can not reach the store asks this member not to race.

use pgherd_api::failsafe::{self, ACCEPTED, LSN_HEADER, PROMISE_HEADER};
use pgherd_api::orders;
use pgherd_ports::PleaRefused;
use serde_json::Value;

use super::Letter;
use crate::app::App;
use crate::checks::shown;
use crate::reply::Reply;

/// Promises, or says why the leader must not rely on this member.
pub(super) async fn promise(app: &App, letter: Letter<'_>) -> Result<Reply, Reply> {
    if !shown(&app.desk).is_some_and(|shown| shown.spec.failsafe_mode) {
        return Ok(Reply::page(502));
    }
    let body = Value::Object(orders::required(letter.body)?);
    let Some(plea) = failsafe::parse(&body, letter.span) else {
        return Ok(Reply::page(400));
    };
    match app.desk.promise(&plea).await {
        Ok(accepted) => {
            let mut reply = Reply::sentence(200, ACCEPTED);
            if let Some(lsn) = accepted.lsn {
                reply = reply.with_header(LSN_HEADER, &lsn.as_u64().to_string());
            }
            // Only who asked for a span knows what to do with one.
            if let Some(span) = accepted.span.filter(|_| plea.span.is_some()) {
                reply = reply.with_header(PROMISE_HEADER, &failsafe::header(span));
            }
            Ok(reply)
        }
        Err(PleaRefused::Off) => Ok(Reply::page(502)),
        Err(why) => Ok(Reply::sentence(500, why.to_string())),
    }
}
