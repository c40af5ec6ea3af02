//! `history`.

use pgherd_api::listing;

use crate::args::History;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::Session;

/// `history`
pub(super) async fn history(
    args: &History,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let view = session.own_cluster(args.cluster.as_deref())?.load().await?;
    let table = listing::history(view.history.as_ref());
    screen.print(&table.print(args.format.into(), None, false))
}
