//! What comes over REST: queries, bodies, and the answers of peers.

use pgherd_api::health::Check;
use pgherd_api::orders::{self, Rejection, SwitchKind, SwitchOrder};
use pgherd_api::query::Query;
use pgherd_api::wanted::Wanted;
use pgherd_api::when::When;
use pgherd_api::{citus, failsafe, peer};
use pgherd_domain::{ClusterView, WallTime};

/// No message asks for more time.
const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);
/// The moment of all requests.
const NOW: WallTime = WallTime::from_micros(1_795_486_355_000_000);

/// Path and query, body, answer or moment: the text is read as each of them, and every refusal is one that can be sent.
pub fn requests(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let query = Query::parse(&text);
    query.tags().for_each(drop);
    Check::of_path(&text);
    if let Ok(body) = orders::required(Some(bytes)) {
        let view = ClusterView::default();
        let wanted = Wanted::of(&view);
        for paused in [false, true] {
            sendable(orders::restart(&body, paused, NOW).err());
        }
        for kind in [SwitchKind::Switchover, SwitchKind::Failover] {
            let checked = SwitchOrder::check(kind, &body, &view, &wanted, NOW);
            sendable(checked.err());
        }
        orders::reinitialize(&body);
        if let Some(event) = citus::parse(&body) {
            assert!(event.timeout <= HOUR && event.cooldown <= HOUR, "{event:?}");
        }
        failsafe::parse(&body.into(), Some(&text));
    }
    if let Err(why) = peer::parse(&text) {
        assert!(!why.to_string().is_empty());
    }
    if let Ok(when) = When::parse(&text) {
        let again = When::parse(&when.iso());
        assert_eq!(again.map(|again| again.at()), Ok(when.at()), "{text}");
    }
    if let Err(why) = orders::version_num(&text) {
        assert!(why.starts_with("Invalid PostgreSQL version"), "{why}");
    }
}

fn sendable(rejection: Option<Rejection>) {
    match rejection {
        None => {}
        Some(Rejection::Page(code)) => assert!((400..600).contains(&code), "{code}"),
        Some(Rejection::Text(code, text)) => {
            assert!(
                (400..600).contains(&code) && !text.is_empty(),
                "{code} {text}"
            );
        }
    }
}
