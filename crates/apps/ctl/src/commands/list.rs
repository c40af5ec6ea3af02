//! `list` and `topology`, once or again and again.

use std::time::Duration;

use pgherd_api::listing::{self, Style};
use pgherd_api::table::Format;

use crate::args::{List, Topology, Watch};
use crate::failure::{self, Failure};
use crate::screen::Screen;
use crate::session::{Cluster, Session};

/// Clears the screen and goes to its upper left corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// `list`
pub(super) async fn list(
    args: &List,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let style = Style {
        extended: args.extended,
        ..Style::default()
    };
    let page = Page {
        style,
        format: args.format.into(),
        timestamp: args.timestamp,
    };
    repeat(&page, &args.clusters, &args.watch, session, screen).await
}

/// `topology`
pub(super) async fn topology(
    args: &Topology,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let style = Style {
        tree: true,
        ..Style::default()
    };
    let page = Page {
        style,
        format: Format::Pretty,
        timestamp: false,
    };
    repeat(&page, &args.clusters, &args.watch, session, screen).await
}

struct Page {
    style: Style,
    format: Format,
    timestamp: bool,
}

async fn repeat(
    page: &Page,
    names: &[String],
    watch: &Watch,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    if names.is_empty() && session.scope().is_none() {
        screen.warn("Listing members: No cluster names were provided");
        return Ok(());
    }
    let clusters: Vec<Cluster> = if names.is_empty() {
        vec![session.cluster(None)?]
    } else {
        names
            .iter()
            .map(|name| session.cluster(Some(name)))
            .collect::<Result<_, _>>()?
    };
    let Some(every) = every(watch)? else {
        return show(page, &clusters, session, screen).await;
    };
    loop {
        if screen.is_terminal {
            screen.print(CLEAR)?;
        }
        match show(page, &clusters, session, screen).await {
            // the DCS may be back the next time
            Err(error @ Failure::Dcs { .. }) => failure::print(&error, screen),
            shown => shown?,
        }
        tokio::time::sleep(every).await;
    }
}

async fn show(
    page: &Page,
    clusters: &[Cluster],
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    for cluster in clusters {
        let text = text(page, cluster, session).await?;
        if page.timestamp {
            screen.say(&screen.stamp("%Y-%m-%d %H:%M:%S"))?;
        }
        screen.print(&text)?;
    }
    Ok(())
}

async fn text(page: &Page, cluster: &Cluster, session: &Session) -> Result<String, Failure> {
    let style = Style {
        group: cluster.group,
        ..page.style
    };
    let Some(groups) = session.groups_of(cluster).await? else {
        let view = cluster.load().await?;
        return Ok(listing::members(&cluster.name, &view, style, page.format));
    };
    let mut views = Vec::new();
    for group in groups {
        views.push((group.group.unwrap_or_default(), group.load().await?));
    }
    Ok(listing::groups(&cluster.name, &views, style, page.format))
}

/// How often to repeat; `None`: once.
pub(super) fn every(watch: &Watch) -> Result<Option<Duration>, Failure> {
    match (watch.every, watch.every_two) {
        (Some(seconds), _) => Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|every| !every.is_zero())
            .map(Some)
            .ok_or_else(|| Failure::refused("--watch needs a positive number of seconds")),
        (None, true) => Ok(Some(Duration::from_secs(2))),
        (None, false) => Ok(None),
    }
}
