//! Watches: which changes wake a member, and how the news reaches it.

use pgherd_domain::documents::MemberDoc;
use pgherd_ports::Wake;

use crate::network::Place;
use crate::process::Process;

/// Whether a change of `key` wakes the members: everything that decisions turn on, and of a member key
/// only what is not a mere position.
pub(super) fn wakes(key: &str, before: Option<&str>, after: Option<&str>) -> bool {
    if key.starts_with("members/") {
        return match (before, after) {
            (Some(before), Some(after)) => telling(before) != telling(after),
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        };
    }
    matches!(
        key,
        "leader" | "config" | "failover" | "sync" | "initialize" | "history"
    )
}

/// What of a member document others act on.
fn telling(text: &str) -> impl PartialEq {
    let doc = MemberDoc::parse(text);
    (doc.state, doc.role, doc.tags, doc.checkpoint_pending)
}

/// Wakes the member whenever something changes that it should look at. While the link is cut the watch
/// is silent; when it heals, the watch begins anew and wakes the member if it missed something.
pub(crate) async fn watch(process: Process, wake: Wake) {
    let Process { world, me, .. } = &process;
    let my_place = Place::Member(me.clone());
    let mut seen = world.look(|state| state.store.waking);
    loop {
        let now = world
            .until(|state| {
                let news = state.store.waking != seen && state.store.is_watching(me);
                news.then_some(state.store.waking)
            })
            .await;
        seen = now;
        while !world.carry(&Place::Dcs, &my_place).await {}
        process.gate().await;
        wake.wake();
    }
}
