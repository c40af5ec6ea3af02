//! What an answer means: done, refused by its condition, or a fault.

use pgherd_etcd::shared::Fault;
use serde::Deserialize;

use crate::node::Node;

/// What servers without this API answer to whoever asks for it.
pub(crate) const NO_SUCH_API: &str =
    "it has no API v2 (etcd before 3.6 has it with `--enable-v2=true`)";

// Codes of this API's errors.
const NOT_FOUND: u32 = 100;
const COMPARE_FAILED: u32 = 101;
const EXISTS: u32 = 105;
const NO_CREDENTIALS: u32 = 110;
const INDEX_CLEARED: u32 = 401;

/// What a request came to. Everything else is a fault.
#[derive(Debug)]
pub(crate) enum Said {
    /// It was done; the node as it is now, or was before it was deleted.
    Done(Box<Answer>),
    /// There is no such key; the store's index at that moment.
    Absent(u64),
    /// The key is not as the request said that it must be, or is there although it must not be.
    Changed,
    /// The event that was waited for is not kept any more.
    Forgotten,
}

/// An answer with a node.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    #[serde(default)]
    pub(crate) action: String,
    pub(crate) node: Node,
    #[serde(default, rename = "prevNode")]
    pub(crate) before: Option<Node>,
    /// The store's index at that moment, out of a header.
    #[serde(skip)]
    pub(crate) index: u64,
}

/// An error of this API.
#[derive(Debug, Deserialize)]
struct Refusal {
    #[serde(default, rename = "errorCode")]
    code: u32,
    message: String,
    #[serde(default)]
    cause: String,
    #[serde(default)]
    index: u64,
}

/// What an answer with this status and body means.
pub(crate) fn meaning(status: u16, index: u64, body: &[u8]) -> Result<Said, Fault> {
    if status == 200 || status == 201 {
        // What went wrong after the head was sent stands where the node was to be.
        if let Ok(refusal) = serde_json::from_slice::<Refusal>(body) {
            return refused(status, refusal);
        }
        let mut answer: Answer = serde_json::from_slice(body).map_err(|error| {
            Fault::answered(format!("its answer is not what etcd answers: {error}"))
        })?;
        answer.index = index;
        return Ok(Said::Done(Box::new(answer)));
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refused(status, refusal),
        Err(_) if status == 404 => Err(Fault::answered(NO_SUCH_API.to_owned())),
        Err(_) => Err(fault(
            status,
            String::from_utf8_lossy(body).trim().to_owned(),
        )),
    }
}

fn refused(status: u16, refusal: Refusal) -> Result<Said, Fault> {
    match refusal.code {
        NOT_FOUND => Ok(Said::Absent(refusal.index)),
        COMPARE_FAILED | EXISTS => Ok(Said::Changed),
        INDEX_CLEARED => Ok(Said::Forgotten),
        code => {
            let Refusal { message, cause, .. } = refusal;
            let why = match cause.is_empty() {
                true => message,
                false => format!("{message}: {cause}"),
            };
            Err(match code {
                NO_CREDENTIALS => Fault::Denied(why),
                _ => fault(status, why),
            })
        }
    }
}

fn fault(status: u16, why: String) -> Fault {
    let why = match why.is_empty() {
        true => format!("it answered with status {status}"),
        false => why,
    };
    match status {
        401 => Fault::Denied(why),
        // It has no leader, or lost it, or too much is asked of it: another may do better.
        404 | 408 | 429 | 500.. => Fault::answered(why),
        _ => Fault::Final(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(status: u16, body: &str) -> Result<Said, Fault> {
        meaning(status, 7, body.as_bytes())
    }

    #[test]
    fn refusals_are_told_from_faults() {
        let absent = r#"{"errorCode":100,"message":"Key not found","cause":"/service","index":3}"#;
        assert!(matches!(means(404, absent), Ok(Said::Absent(3))));
        let compare =
            r#"{"errorCode":101,"message":"Compare failed","cause":"[3 != 6]","index":6}"#;
        assert!(matches!(means(412, compare), Ok(Said::Changed)));
        let exists = r#"{"errorCode":105,"message":"Key already exists","index":4}"#;
        assert!(matches!(means(412, exists), Ok(Said::Changed)));
        let cleared = r#"{"errorCode":401,"message":"The event in requested index is outdated and cleared","cause":"the requested history has been cleared [1001/1]","index":2000}"#;
        assert!(matches!(means(400, cleared), Ok(Said::Forgotten)));
    }

    #[test]
    fn what_etcd_will_get_over_is_asked_of_others() {
        let raft = r#"{"errorCode":300,"message":"Raft Internal Error","cause":"etcdserver: request timed out","index":0}"#;
        for (status, body) in [
            (500, raft),
            (503, ""),
            (404, "404 page not found\n"),
            (200, "<html>"),
        ] {
            let fault = means(status, body).unwrap_err();
            assert!(
                matches!(fault, Fault::Passing { answered: true, .. }),
                "{fault:?}"
            );
        }
    }

    #[test]
    fn a_user_who_may_not_is_told_as_such_and_a_wrong_request_is_final() {
        for (status, body) in [
            (
                401,
                r#"{"errorCode":110,"message":"The request requires user authentication","cause":"Insufficient credentials","index":0}"#,
            ),
            (401, r#"{"message":"Insufficient credentials"}"#),
        ] {
            assert!(matches!(means(status, body), Err(Fault::Denied(_))));
        }
        let directory = r#"{"errorCode":102,"message":"Not a file","cause":"/service","index":3}"#;
        assert!(matches!(means(403, directory), Err(Fault::Final(_))));
    }
}
