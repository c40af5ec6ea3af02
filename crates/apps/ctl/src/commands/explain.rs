//! `explain`: ours.

use crate::args::Explain;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::Session;

/// `explain`
pub(super) async fn explain(
    args: &Explain,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let cluster = session.own_cluster(args.cluster.as_deref())?;
    let view = cluster.load().await?;
    if view.members.is_empty() {
        return Err(Failure::Refused(format!(
            "{} cluster doesn't have any members",
            cluster.name
        )));
    }
    screen.print(&pgherd_api::explain::explain(&cluster.name, &view).print(args.format.into()))
}
