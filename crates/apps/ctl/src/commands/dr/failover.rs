//! `dr failover`: the primary region is lost, and this standby region is promoted with what it has. What may be lost is
//! written down first.

use std::time::Duration;

use pgherd_domain::ClusterView;
use pgherd_ports::{Condition, Key, Written};
use serde_json::{Value, json};

use super::other_session;
use super::record::{self, Entry};
use super::region::{Kind, Position, Region, kind, position, stand, writes};
use crate::args::DrFailover;
use crate::failure::Failure;
use crate::members;
use crate::screen::Screen;
use crate::session::Session;

/// How long a lost region that is told to come back as a standby may take to end its primary.
const ENDING_MAX: Duration = Duration::from_secs(60);

/// `dr failover`
pub(super) async fn failover(
    args: &DrFailover,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let other = match args.regions.other {
        Some(_) => Some(other_session(&args.regions, session)?),
        None => None,
    };
    let here = Region::open("here", session, args.regions.cluster.as_deref())?;
    let there = match &other {
        Some(other) => Some(Region::open(
            "there",
            other,
            args.regions.other_cluster.as_deref(),
        )?),
        None => None,
    };
    let mine = here.load().await?;
    here.show(&mine, screen)?;
    if kind(&mine) != Kind::Standby {
        return Err(Failure::Refused(format!(
            "{} is no standby region that could be promoted: {}",
            here.title(),
            stand(&mine)
        )));
    }
    let theirs = match &there {
        Some(region) => region.load().await.ok(),
        None => None,
    };
    if let Some(view) = theirs.as_ref().filter(|view| writes(view)) {
        return Err(Failure::Refused(format!(
            "the primary region lives ({}): use `pgherd dr switchover`, which loses nothing",
            stand(view)
        )));
    }
    let last = theirs.as_ref().and_then(last_known);
    let loss = loss(position(&mine), last);
    screen.say(&loss)?;
    if !args.accept_loss {
        return Err(Failure::Refused(format!(
            "nothing was changed. {loss}. Give --accept-loss to promote this region all the same"
        )));
    }
    let question = format!("Promote {} with what it has?", here.title());
    if !args.force && !screen.confirm(&question)? {
        return Err(Failure::refused("Aborted failover of the region"));
    }
    let began = screen.stamp("%Y-%m-%dT%H:%M:%S%:z");
    let entry = Entry::new("failover", &began)
        .at("promoted with", position(&mine))
        .at("last known of the lost region", last)
        .with("loss", loss.as_str());
    record::write(&here, &entry).await?;
    let told = match (&there, &theirs) {
        (Some(region), Some(view)) => end_lost(region, view, &mine, screen).await?,
        (_, _) => false,
    };
    promote(&here, args, screen).await?;
    record::write(&here, &entry.with("state", "done")).await?;
    if told {
        return Ok(());
    }
    screen.say(
        "The lost region could not be told. When it comes back it is a primary BESIDE this one: keep clients away from \
         it, and make it a standby at once: `pgherd demote-cluster --host HOST-OF-THIS-REGION` there. \
         `pgherd dr status` shows whether both write",
    )
}

/// How far the lost region was, as its DCS tells.
fn last_known(view: &ClusterView) -> Option<Position> {
    let lsn = view.status.optime?;
    let timeline = position(view).map(|at| at.timeline);
    let history = view
        .history
        .as_ref()
        .map(|history| history.current_timeline());
    Some(Position {
        timeline: timeline.or(history).unwrap_or_default(),
        lsn,
    })
}

/// What may be lost, in words.
pub(super) fn loss(mine: Option<Position>, last: Option<Position>) -> String {
    let has = mine.map_or_else(
        || "This region's position is not known".to_owned(),
        |at| {
            format!(
                "This region has the WAL up to {} on timeline {}",
                at.lsn, at.timeline
            )
        },
    );
    match (mine, last) {
        (Some(mine), Some(last)) if mine.timeline == last.timeline || last.timeline.0 == 0 => {
            format!(
                "{has}; the lost one was last known at {}: {} bytes are missing, and what it wrote after that",
                last.lsn,
                mine.lsn.behind(last.lsn)
            )
        }
        (_, Some(last)) => format!(
            "{has}; the lost one was last known at {} on timeline {}",
            last.lsn, last.timeline
        ),
        (_, None) => format!(
            "{has}; how far the lost one was is not known: every commit that it acknowledged after that is lost"
        ),
    }
}

/// The lost region's DCS answers: whoever comes back there comes back as a standby, and nobody writes there any more.
async fn end_lost(
    region: &Region<'_>,
    view: &ClusterView,
    mine: &ClusterView,
    screen: &mut Screen,
) -> Result<bool, Failure> {
    let address = members::leader(mine).and_then(|(_, doc)| doc.address());
    let (Some((host, port)), Some(config)) = (address, &view.config) else {
        return Ok(false);
    };
    let mut wanted = config.value.clone();
    if let Value::Object(map) = &mut wanted {
        map.insert(
            "standby_cluster".into(),
            json!({"host": host, "port": port}),
        );
    }
    let condition = Condition::unchanged(Some(config.revision));
    let put = region
        .cluster
        .dcs
        .put(&Key::Config, &wanted.to_string(), condition)
        .await;
    let failed = |source| Failure::Dcs {
        what: "tell the lost region to come back as a standby",
        source,
    };
    if put.map_err(failed)? == Written::Refused {
        return Err(Failure::refused(
            "the lost region's configuration changed meanwhile: somebody is at work there. Look again",
        ));
    }
    let ended = region
        .wait("ending", ENDING_MAX, screen, |view| {
            (!writes(view)).then_some(())
        })
        .await?;
    match ended {
        Some(()) => Ok(true),
        None => Err(Failure::refused(
            "the other region still writes: it lives. Nothing was promoted; use `pgherd dr switchover`",
        )),
    }
}

async fn promote(here: &Region<'_>, args: &DrFailover, screen: &mut Screen) -> Result<(), Failure> {
    let view = here.load().await?;
    let Some(leader) = members::leader(&view) else {
        return Err(Failure::refused(
            "this region has no leader now; wait until it has one, then call this again",
        ));
    };
    here.set_section(&leader, Value::Null).await?;
    let patience = Duration::from_secs(args.timeout);
    let promoted = here
        .wait("being promoted", patience, screen, |view| {
            (kind(view) == Kind::Primary).then_some(())
        })
        .await?;
    if promoted.is_none() {
        return Err(Failure::refused(
            "this region was told to become the primary one and is not yet: look at `pgherd list`",
        ));
    }
    let view = here.load().await?;
    let stamp = screen.stamp("%Y-%m-%d %H:%M:%S");
    screen.say(&format!(
        "{stamp} {} is the primary region now",
        here.title()
    ))?;
    here.show(&view, screen)
}
