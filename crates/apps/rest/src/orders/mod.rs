//! Orders: what changes something (contract §16.7).

mod citus;
mod config;
mod failsafe;
mod member;
mod switch;
mod vote;

use axum::http::Method;
use pgherd_api::orders::SwitchKind;

use crate::app::App;
use crate::manner::Manner;
use crate::reply::Reply;

/// What comes with an order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Letter<'a> {
    /// The body; `None`: the request had no length.
    pub(crate) body: Option<&'a [u8]>,
    /// For how long a leader asks this member not to race, as its header has it.
    pub(crate) span: Option<&'a str>,
}

/// Every order there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    PatchConfig,
    PutConfig,
    Reload,
    Sigterm,
    Restart,
    CancelRestart,
    Reinitialize,
    Delayed,
    Switch(SwitchKind),
    CancelSwitchover,
    Failsafe,
    Vote,
    Citus,
}

/// Every order by its method and the name it has in a path.
pub(crate) const ORDERS: [(Method, &str, Order); 15] = [
    (Method::PATCH, "config", Order::PatchConfig),
    (Method::PUT, "config", Order::PutConfig),
    (Method::POST, "reload", Order::Reload),
    (Method::POST, "sigterm", Order::Sigterm),
    (Method::POST, "restart", Order::Restart),
    (Method::DELETE, "restart", Order::CancelRestart),
    (Method::POST, "reinitialize", Order::Reinitialize),
    (Method::POST, "delayed", Order::Delayed),
    (
        Method::POST,
        "switchover",
        Order::Switch(SwitchKind::Switchover),
    ),
    (
        Method::POST,
        "failover",
        Order::Switch(SwitchKind::Failover),
    ),
    (Method::DELETE, "switchover", Order::CancelSwitchover),
    (Method::POST, "failsafe", Order::Failsafe),
    (Method::POST, "vote", Order::Vote),
    (Method::POST, "citus", Order::Citus),
    (Method::POST, "mpp", Order::Citus),
];

/// The order behind a method and a name.
pub(crate) fn named(method: &Method, name: &str) -> Option<Order> {
    ORDERS
        .iter()
        .find_map(|(of, called, order)| (of == method && *called == name).then_some(*order))
}

impl Order {
    /// Whether the caller's address counts. A leader that can not reach the store asks for promises, and a candidate for the
    /// votes of members that can not, whose addresses nobody can look up then: the members' part alone restricts neither.
    pub(crate) fn is_restricted(self, manner: &Manner) -> bool {
        let by_members = matches!(self, Self::Failsafe | Self::Vote);
        manner.has_allowlist || manner.members_allowed && !by_members
    }
}

/// Does it, and answers. Whoever asks has been let through already.
pub(crate) async fn carry_out(app: &App, order: Order, letter: Letter<'_>) -> Reply {
    let body = letter.body;
    let done = match order {
        Order::PatchConfig => config::patch(app, body).await,
        Order::PutConfig => config::put(app, body).await,
        Order::Reload => {
            app.desk.reload.wake();
            app.desk.wake.wake();
            Ok(Reply::sentence(202, "reload scheduled"))
        }
        // has an effect only on the test build of another system; elsewhere it is accepted
        Order::Sigterm => Ok(Reply::sentence(202, "shutdown scheduled")),
        Order::Restart => member::restart(app, body).await,
        Order::CancelRestart => member::cancel_restart(app).await,
        Order::Reinitialize => member::reinitialize(app, body).await,
        Order::Delayed => member::delayed(app, body).await,
        Order::Switch(kind) => switch::switch(app, kind, body).await,
        Order::CancelSwitchover => switch::cancel(app).await,
        Order::Citus => citus::hear(app, body).await,
        Order::Failsafe => failsafe::promise(app, letter).await,
        Order::Vote => vote::vote(app, body).await,
    };
    done.unwrap_or_else(|refusal| refusal)
}
