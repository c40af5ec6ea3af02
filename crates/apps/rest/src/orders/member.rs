//! Orders to this member: they go to the agent, and its answer comes back.

use pgherd_api::orders;
use pgherd_domain::{Answer, Operation, Refusal};

use crate::app::App;
use crate::checks::shown;
use crate::reply::Reply;

/// `POST /restart`.
pub(crate) async fn restart(app: &App, body: Option<&[u8]>) -> Result<Reply, Reply> {
    let body = orders::optional(body)?;
    let paused = shown(&app.desk).is_some_and(|shown| shown.spec.pause);
    let operation = orders::restart(&body, paused, app.desk.clock.wall())?;
    Ok(ask(app, operation).await)
}

/// `DELETE /restart`.
pub(crate) async fn cancel_restart(app: &App) -> Result<Reply, Reply> {
    Ok(ask(app, Operation::CancelRestart).await)
}

/// `POST /reinitialize`.
pub(crate) async fn reinitialize(app: &App, body: Option<&[u8]>) -> Result<Reply, Reply> {
    let body = orders::optional(body)?;
    Ok(ask(app, orders::reinitialize(&body)).await)
}

/// `POST /delayed`.
pub(crate) async fn delayed(app: &App, body: Option<&[u8]>) -> Result<Reply, Reply> {
    let body = orders::required(body)?;
    Ok(ask(app, orders::delayed(&body)?).await)
}

async fn ask(app: &App, operation: Operation) -> Reply {
    match app.desk.request(operation).await {
        Answer::Done(text) => Reply::sentence(200, text),
        Answer::Accepted(text) => Reply::sentence(202, text),
        Answer::Refused(refusal, text) => Reply::sentence(code(refusal), text),
    }
}

const fn code(refusal: Refusal) -> u16 {
    match refusal {
        Refusal::Unavailable => 503,
        Refusal::Conflict => 409,
        Refusal::NotFound => 404,
        Refusal::Impossible => 500,
    }
}
