//! `remove`: everything about a cluster goes from the DCS.

use pgherd_api::listing::{self, Style};

use crate::args::Remove;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::Session;

/// What has to be typed, to the letter.
const AWARE: &str = "Yes I am aware";

/// `remove`
pub(super) async fn remove(
    args: &Remove,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let cluster = session.exact_cluster(Some(&args.cluster))?;
    let view = cluster.load().await?;
    let style = Style {
        group: cluster.group,
        ..Style::default()
    };
    let table = listing::members(&cluster.name, &view, style, args.format.into());
    screen.print(&table)?;
    let confirmed = screen.ask("Please confirm the cluster name to remove", None)?;
    if confirmed != cluster.name {
        return Err(Failure::refused("Cluster names specified do not match"));
    }
    let question = format!(
        "You are about to remove all information in DCS for {cluster}, please type: \"{AWARE}\""
    );
    if screen.ask(&question, None)? != AWARE {
        return Err(Failure::Refused(format!(
            "You did not exactly type \"{AWARE}\""
        )));
    }
    if let Some(leader) = view.leader_name() {
        let question =
            "This cluster currently is healthy. Please specify the leader name to continue";
        if screen.ask(question, None)? != leader.as_str() {
            return Err(Failure::refused(
                "You did not specify the current leader of the cluster",
            ));
        }
    }
    let failed = |source| Failure::Dcs {
        what: "remove the cluster from the DCS",
        source,
    };
    cluster.dcs.erase().await.map_err(failed)
}
