//! `POST /citus` (contract §20): a worker's leader tells the coordinator's leader that its primary changes.

use pgherd_api::{citus, orders};
use pgherd_ports::CitusAsked;
use tokio::sync::oneshot;

use crate::app::App;
use crate::reply::Reply;

/// Hears a message, and answers when it was carried out or its time is over. A member that does not lead the coordinator's
/// group has nothing to do with it.
pub(super) async fn hear(app: &App, body: Option<&[u8]>) -> Result<Reply, Reply> {
    let body = orders::required(body)?;
    let heard = Ok(Reply::sentence(200, "OK"));
    let Some(coordinator) = app.desk.citus.as_ref().filter(|_| app.desk.leads()) else {
        return heard;
    };
    let Some(event) = citus::parse(&body) else {
        return Err(Reply::sentence(
            400,
            "No message of a worker: type (before_demote, before_promote or after_promote), group, leader, timeout and \
             cooldown are needed",
        ));
    };
    let patience = event.timeout;
    let (done, carried_out) = oneshot::channel();
    let asked = CitusAsked { event, done };
    if coordinator.send(asked).await.is_ok() {
        // What comes of it later is the coordinator's own affair: it finds all groups in the DCS.
        drop(tokio::time::timeout(patience, carried_out).await);
    }
    heard
}
