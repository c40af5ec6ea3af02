//! `reload`.

use pgherd_api::wanted::Wanted;
use pgherd_peers::Method;

use super::{ANSWER_MAX, Said, confirm, failure, sort};
use crate::args::Reload;
use crate::failure::Failure;
use crate::members::{choose, names};
use crate::screen::Screen;
use crate::session::Session;

/// `reload`
pub(super) async fn reload(
    args: &Reload,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let looked = session.look(Some(&args.cluster)).await?;
    let chosen = choose(&looked, args.role, &args.members, screen)?;
    confirm("reload", &names(&chosen), args.force, screen)?;
    let views = looked.views().iter();
    let spans = views.map(|(_, view)| Wanted::of(view).loop_wait.as_secs());
    let seconds = spans.max().unwrap_or_default();
    let mut all_reached = true;
    for member in &chosen {
        let (name, doc) = member;
        let answer = session
            .ask(Method::POST, &doc.api_url, "reload", None, ANSWER_MAX)
            .await;
        let line = match sort("reload", member, answer, screen)? {
            Said::Answered(200, _) => format!("No changes to apply on member {name}"),
            Said::Answered(202, _) => format!(
                "Reload request received for member {name} and will be processed within {seconds} seconds"
            ),
            Said::Answered(code, text) => failure("reload", member, code, &text),
            Said::Nothing => {
                all_reached = false;
                continue;
            }
        };
        screen.say(&line)?;
    }
    if all_reached {
        Ok(())
    } else {
        Err(Failure::Said)
    }
}
