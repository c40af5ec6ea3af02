//! `delayed`.

use std::time::Duration;

use pgherd_api::when::When;
use pgherd_peers::Method;
use serde_json::{Value, json};

use super::{ANSWER_MAX, Said, failure, sort};
use crate::args::Delayed;
use crate::failure::Failure;
use crate::members::Member;
use crate::screen::Screen;
use crate::session::Session;

/// The member is started again, which waits for its sessions to end.
const RESTART_MAX: Duration = Duration::from_secs(120);

/// `delayed`
pub(super) async fn delayed(
    args: &Delayed,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let cluster = session.own_cluster(Some(&args.cluster))?;
    let view = cluster.load().await?;
    let found = view
        .members
        .iter()
        .find(|(name, _)| name.as_str() == args.member);
    let Some(member) = found.map(|(name, doc)| (name.clone(), doc.clone())) else {
        return Err(Failure::Refused(format!(
            "{} is not a member of cluster",
            args.member
        )));
    };
    let body = match (&args.stop_before, args.resume) {
        (Some(text), _) => {
            let now = pgherd_ports::Clock::wall(&pgherd_ports::SystemClock);
            let when = When::parse_in(text, &screen.zone, now)
                .map_err(|error| Failure::Refused(format!("{text}: {error}")))?;
            json!({"stop_before": when.iso()})
        }
        (None, true) => json!({"resume": true}),
        (None, false) => return show(&member, session, screen).await,
    };
    let answer = session
        .ask(
            Method::POST,
            &member.1.api_url,
            "delayed",
            Some(&body),
            RESTART_MAX,
        )
        .await;
    match sort("delayed", &member, answer, screen)? {
        Said::Answered(200, text) => screen.say(&format!("Success: {text}"))?,
        Said::Answered(code, text) => {
            return Err(Failure::Refused(failure("delayed", &member, code, &text)));
        }
        Said::Nothing => return Err(Failure::Said),
    }
    if args.resume {
        return Ok(());
    }
    show(&member, session, screen).await
}

/// How far the member has replayed, and what it waits for.
async fn show(member: &Member, session: &Session, screen: &mut Screen) -> Result<(), Failure> {
    let answer = session
        .ask(Method::GET, &member.1.api_url, "patroni", None, ANSWER_MAX)
        .await;
    let Said::Answered(_, text) = sort("delayed", member, answer, screen)? else {
        return Err(Failure::Said);
    };
    let status: Value = serde_json::from_str(&text)
        .map_err(|_| Failure::refused("the member's answer is not understood"))?;
    screen.say(&sentence(member.0.as_str(), &status))
}

fn sentence(name: &str, status: &Value) -> String {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let xlog = &status["xlog"];
    let replayed = text(&xlog["replayed_timestamp"]);
    let replayed = replayed.map_or_else(
        || "no commit since its start".to_owned(),
        |at| format!("commits up to {at}"),
    );
    let delay = text(&status["tags"]["delayed"]);
    let delay = delay.map_or_else(
        || "is not delayed".to_owned(),
        |delay| format!("is delayed by {delay}"),
    );
    let end = match (text(&status["stop_before"]), &xlog["paused"]) {
        (Some(time), Value::Bool(true)) => {
            format!("; replay stands before {time}: read what you need, then `delayed --resume`")
        }
        (Some(time), _) => format!("; replay is on its way to {time}"),
        (None, Value::Bool(true)) => "; replay is paused".to_owned(),
        (None, _) => String::new(),
    };
    format!("{name} {delay}, has replayed {replayed}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_where_replay_is_and_what_it_waits_for() {
        let status = json!({
            "xlog": {"replayed_timestamp": "2026-11-26 14:02:58+00:00", "paused": true},
            "tags": {"delayed": "1h"}, "stop_before": "2026-11-26 14:03:00+00",
        });
        assert_eq!(
            sentence("node3", &status),
            "node3 is delayed by 1h, has replayed commits up to 2026-11-26 14:02:58+00:00; replay stands before \
             2026-11-26 14:03:00+00: read what you need, then `delayed --resume`"
        );
        assert_eq!(
            sentence("node2", &json!({})),
            "node2 is not delayed, has replayed no commit since its start"
        );
    }
}
