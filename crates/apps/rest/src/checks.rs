//! Health checks, answered from memory: what the last turn showed, and the lease as it is now.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::http::StatusCode;
use bytes::Bytes;
use pgherd_api::health::{self, Check};
use pgherd_api::member::MemberFacts;
use pgherd_api::query::Query;
use pgherd_api::{metrics, status};
use pgherd_domain::{ClusterView, Moment, PgRole};
use pgherd_ports::{Desk, Shown};

use crate::reply::Reply;

/// The status document of one turn as text: thousands of checks between two turns share it.
#[derive(Debug, Default)]
pub(crate) struct Rendered(ArcSwapOption<Text>);

#[derive(Debug)]
struct Text {
    of: Arc<Shown>,
    view_valid: bool,
    body: Bytes,
}

/// The answer of one check.
pub(crate) fn check(desk: &Desk, rendered: &Rendered, path: &str, query: &str) -> Reply {
    let Some(shown) = shown(desk) else {
        return Reply::page(503);
    };
    let facts = facts(&shown, desk);
    let query = Query::parse(query);
    let passes = health::passes(Check::of_path(path), &query, &facts);
    let code = if passes {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Reply::json_text(code, rendered.body(&shown, &facts))
}

/// The same without the document, for HEAD and OPTIONS.
pub(crate) fn check_status(desk: &Desk, path: &str, query: &str) -> Reply {
    let passes = shown(desk).is_some_and(|shown| {
        health::passes(
            Check::of_path(path),
            &Query::parse(query),
            &facts(&shown, desk),
        )
    });
    Reply::status(passes)
}

/// `/patroni`: always 200 once there is something to show.
pub(crate) fn document(desk: &Desk, rendered: &Rendered) -> Reply {
    let Some(shown) = shown(desk) else {
        return Reply::page(503);
    };
    let body = rendered.body(&shown, &facts(&shown, desk));
    Reply::json_text(StatusCode::OK, body)
}

/// The same of what was seen apart from a turn.
pub(crate) fn document_of(shown: &Shown, desk: &Desk) -> Reply {
    Reply::json(&status::document(&facts(shown, desk)))
}

/// `/liveness`.
pub(crate) fn liveness(desk: &Desk) -> Reply {
    Reply::status(shown(desk).is_some_and(|shown| health::is_alive(&facts(&shown, desk))))
}

/// `/readiness`.
pub(crate) fn readiness(desk: &Desk, query: &str) -> Reply {
    let ready = |shown: Arc<Shown>| health::is_ready(&Query::parse(query), &facts(&shown, desk));
    Reply::status(shown(desk).is_some_and(ready))
}

/// `/metrics`.
pub(crate) fn metrics(desk: &Desk) -> Reply {
    match shown(desk) {
        Some(shown) => Reply::plain(metrics::text(&facts(&shown, desk))),
        None => Reply::page(503),
    }
}

/// What the last turn showed.
pub(crate) fn shown(desk: &Desk) -> Option<Arc<Shown>> {
    desk.shown.borrow().clone()
}

/// The cluster as last read, while that is not longer ago than ttl (contract §4.7).
pub(crate) fn valid_view(shown: &Shown, now: Moment) -> Option<&ClusterView> {
    let (view, at, _) = shown.cluster.as_ref()?;
    (now.since(*at) <= shown.spec.ttl).then_some(view)
}

fn facts<'a>(shown: &'a Shown, desk: &Desk) -> MemberFacts<'a> {
    let now = desk.clock.now();
    MemberFacts {
        spec: &shown.spec,
        scope: &shown.settings.fixed.scope,
        // A primary that is still there serves as one, whatever the section says.
        standby_cluster: shown.spec.standby.is_some() && shown.role != PgRole::Primary,
        state: shown.state,
        role: shown.role,
        live: shown.live.as_ref(),
        system_id: shown.system_id.as_deref(),
        member: &shown.member,
        cluster: valid_view(shown, now),
        dcs_seen: shown.cluster.as_ref().map(|(_, _, wall)| *wall),
        leads: desk.lease.borrow().is_mine(now),
        failsafe_active: shown.failsafe_active,
        unfenced: shown.unfenced.as_deref(),
        hooks: &shown.hooks,
        watchdog_failed: shown.watchdog_failed,
        turn_age: now.since(shown.at),
    }
}

impl Rendered {
    fn body(&self, shown: &Arc<Shown>, facts: &MemberFacts<'_>) -> Bytes {
        let view_valid = facts.cluster.is_some();
        if let Some(text) = &*self.0.load()
            && Arc::ptr_eq(&text.of, shown)
            && text.view_valid == view_valid
        {
            return text.body.clone();
        }
        let (waiting, lost) = pgherd_log::backlog();
        let body = Bytes::from(status::text_with_log(facts, waiting, lost));
        let text = Text {
            of: Arc::clone(shown),
            view_valid,
            body: body.clone(),
        };
        self.0.store(Some(Arc::new(text)));
        body
    }
}
