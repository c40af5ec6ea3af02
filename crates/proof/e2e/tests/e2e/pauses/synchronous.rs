//! Synchronous mode in pause: switched on and off, and the tags of the standby.

use anyhow::{Result, ensure};
use pgherd_testbed::Herd;

use super::{FIRST, Pair, sync, tag};

/// The steps: `pg1` leads, `pg2` streams, the mode is off, at the beginning and at the end.
pub(super) async fn steps(pair: &mut Pair<'_>) -> Result<()> {
    mode(pair, "on").await?;
    waited_for(pair, "the mode is on", "pg2").await?;

    tagged(pair, "tags: {nosync: true}\n").await?;
    waited_for(pair, "the standby is tagged nosync", "").await?;
    tagged(pair, "tags: {sync_priority: 2}\n").await?;
    waited_for(pair, "and with a priority instead", "pg2").await?;

    tagged(pair, "").await?;
    mode(pair, "off").await?;
    pair.until("the mode is off", async |herd| {
        let sync = sync(herd).await?;
        ensure!(sync.is_null(), "{sync}");
        let tags = herd.cluster_member("pg2").await?;
        ensure!(tags.get("tags").is_none(), "{tags}");
        names(herd, "").await
    })
    .await
}

async fn mode(pair: &mut Pair<'_>, to: &str) -> Result<()> {
    pair.both(&format!("synchronous_mode {to}"), async |herd| {
        let set = format!("synchronous_mode={to}");
        let scope = herd.scope();
        herd.ctl(&["edit-config", scope, "-q", "-s", &set, "--force"])
            .await
    })
    .await
}

async fn tagged(pair: &mut Pair<'_>, tags: &str) -> Result<()> {
    pair.both(tags, async |herd| tag(herd, tags).await).await
}

/// Waits until commits wait for `standby`, or with an empty name for nobody, and `/sync` says so.
async fn waited_for(pair: &mut Pair<'_>, step: &str, standby: &str) -> Result<()> {
    pair.until(step, async |herd| {
        let sync = sync(herd).await?;
        let named = sync["sync_standby"].as_str().unwrap_or_default();
        ensure!(sync["leader"] == "pg1" && named == standby, "{sync}");
        names(herd, standby).await
    })
    .await
}

async fn names(herd: &Herd, standby: &str) -> Result<()> {
    let names = herd.members[FIRST].query("SHOW synchronous_standby_names");
    let names = names.await?;
    ensure!(names == standby, "synchronous_standby_names = '{names}'");
    Ok(())
}
