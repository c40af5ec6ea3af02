//! `POST /vote`: a member of pgherd that holds the leader key counts the votes of quorum mode.

use pgherd_api::orders;
use pgherd_domain::MemberName;
use pgherd_ports::VoteRefused;
use serde_json::Value;

use crate::app::App;
use crate::checks::document_of;
use crate::reply::Reply;

/// Votes, and answers with the status document as it is then; or says why there is no vote.
pub(super) async fn vote(app: &App, body: Option<&[u8]>) -> Result<Reply, Reply> {
    let body = orders::required(body)?;
    let name = body.get("name").and_then(Value::as_str);
    let Some(candidate) = name.and_then(|name| MemberName::new(name).ok()) else {
        return Ok(Reply::sentence(
            400,
            "`name` has to be the name of a member",
        ));
    };
    match app.desk.vote(&candidate).await {
        Ok(shown) => Ok(document_of(&shown, &app.desk)),
        Err(why @ (VoteRefused::Starting | VoteRefused::NotReady(_) | VoteRefused::Stays(_))) => {
            Ok(Reply::sentence(503, why.to_string()))
        }
        Err(why @ VoteRefused::Leads) => Ok(Reply::sentence(409, why.to_string())),
    }
}
