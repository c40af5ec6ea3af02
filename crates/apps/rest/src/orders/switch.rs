//! `POST /switchover`, `POST /failover`: the order goes to the DCS; then the cluster is watched for what
//! comes of it.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use pgherd_api::orders::{self, Outcome, SwitchKind, SwitchOrder, judge};
use pgherd_api::wanted::Wanted;
use pgherd_domain::PeerStatus;
use pgherd_ports::{Condition, Key, Written};
use tokio::time::MissedTickBehavior;

use crate::app::App;
use crate::reads::fresh;
use crate::reply::Reply;

/// A candidate must answer within this (contract §2.2).
const ASK_MAX: Duration = Duration::from_secs(2);
/// The store is read no more often than this while an order is watched.
const READ_EVERY: Duration = Duration::from_millis(100);
/// And no less often.
const READ_WITHIN: Duration = Duration::from_secs(1);

/// Writes the order and answers when it is done, has failed, or its time is over.
pub(crate) async fn switch(
    app: &App,
    kind: SwitchKind,
    body: Option<&[u8]>,
) -> Result<Reply, Reply> {
    let body = orders::required(body)?;
    let view = fresh(&app.desk).await.map_err(|_| Reply::page(503))?;
    let wanted = Wanted::of(&view);
    let order = SwitchOrder::check(kind, &body, &view, &wanted, app.desk.clock.wall())?;
    let is_planned = order.doc.scheduled_at.is_some();
    if !is_planned && !somebody_is_fit(app, &order).await {
        return Err(order.no_candidates().into());
    }
    let condition = Condition::unchanged(view.failover_revision);
    match app
        .desk
        .dcs
        .put(&Key::Failover, &order.doc.render(), condition)
        .await
    {
        Ok(Written::Done(_)) => app.desk.wake.wake(),
        Ok(Written::Refused) | Err(_) => {
            return Err(Reply::sentence(
                503,
                "failed to write failover key into DCS",
            ));
        }
    }
    if is_planned {
        return Ok(Reply::sentence(202, "Switchover scheduled"));
    }
    let limit = 2 * wanted.loop_wait.max(Duration::from_secs(10));
    Ok(outcome(app, &order, limit).await)
}

/// `DELETE /switchover`: forgets a planned one.
pub(crate) async fn cancel(app: &App) -> Result<Reply, Reply> {
    let view = fresh(&app.desk).await.map_err(|_| Reply::page(503))?;
    let is_planned = |order: &pgherd_domain::documents::FailoverDoc| order.scheduled_at.is_some();
    if !view.failover.is_some_and(|order| is_planned(&order.value)) {
        return Err(Reply::sentence(404, "no switchover is scheduled"));
    }
    let condition = Condition::unchanged(view.failover_revision);
    match app.desk.dcs.put(&Key::Failover, "{}", condition).await {
        Ok(Written::Done(_)) => {
            app.desk.wake.wake();
            Ok(Reply::sentence(200, "scheduled switchover deleted"))
        }
        Ok(Written::Refused) => Err(Reply::page(409)),
        Err(_) => Err(Reply::page(503)),
    }
}

/// Asks all candidates at once; the first fit one is enough.
async fn somebody_is_fit(app: &App, order: &SwitchOrder) -> bool {
    let questions = order
        .ask
        .iter()
        .map(|(_, url)| app.desk.peers.status(url, ASK_MAX));
    let mut answers: FuturesUnordered<_> = questions.collect();
    while let Some(answer) = answers.next().await {
        if answer.is_ok_and(|status| is_fit(&status)) {
            return true;
        }
    }
    false
}

const fn is_fit(status: &PeerStatus) -> bool {
    !status.nofailover && !status.watchdog_failed
}

/// Looks at the cluster whenever a turn shows something, and each second, until the order is settled.
async fn outcome(app: &App, order: &SwitchOrder, limit: Duration) -> Reply {
    let mut shown = app.desk.shown.clone();
    let mut reads = tokio::time::interval(READ_EVERY);
    reads.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watch = async {
        loop {
            reads.tick().await;
            let outcome = match app.desk.dcs.load().await {
                Ok(view) => judge(order, &view),
                Err(_) => Outcome::Open,
            };
            match outcome {
                Outcome::Done(text) => return Reply::sentence(200, text),
                Outcome::Failed(text) => return Reply::sentence(503, text),
                Outcome::Open => {}
            }
            // a turn that shows something new, or the second; both are reason to look again
            drop(tokio::time::timeout(READ_WITHIN, shown.changed()).await);
        }
    };
    tokio::time::timeout(limit, watch)
        .await
        .unwrap_or_else(|_| {
            let noun = match order.kind {
                SwitchKind::Switchover => "Switchover",
                SwitchKind::Failover => "Failover",
            };
            let text = format!(
                "{noun} status unknown after {} seconds; operation may still be in progress",
                limit.as_secs()
            );
            Reply::sentence(503, text)
        })
}
