//! What is asked of a server, and what it answers: the few requests that the port needs.

use crate::wire::{Broken, Scanner, Writer, length};

const CREATE: i32 = 1;
const DELETE: i32 = 2;
const DATA: i32 = 4;
const SET: i32 = 5;
const CHECK: i32 = 13;
const MULTI: i32 = 14;
const CHILDREN: i32 = 12;
const EXISTS: i32 = 3;
const CLOSE: i32 = -11;
/// Marks the end of a transaction, and in an answer a part of it that was not done.
const END: i32 = -1;
/// The node ends with the session.
const EPHEMERAL: i32 = 1;

/// Whatever the version of a node is.
pub(crate) const ANY_VERSION: i32 = -1;

/// Error codes of ZooKeeper that something is done about.
pub(crate) mod code {
    pub(crate) const NO_NODE: i32 = -101;
    pub(crate) const NO_AUTH: i32 = -102;
    pub(crate) const NODE_EXISTS: i32 = -110;
    pub(crate) const NOT_EMPTY: i32 = -111;
    pub(crate) const SESSION_EXPIRED: i32 = -112;
    pub(crate) const INVALID_ACL: i32 = -114;
    pub(crate) const AUTH_FAILED: i32 = -115;
    pub(crate) const SESSION_MOVED: i32 = -118;
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// The value of a node; `watch`: tell when it changes.
    Data { path: String, watch: bool },
    /// Whether a node is there; `watch`: tell when it comes, changes or goes.
    Exists { path: String, watch: bool },
    /// The names of a node's children; `watch`: tell when there are others.
    Children { path: String, watch: bool },
    /// All of this or nothing of it.
    Multi(Vec<Op>),
    /// A node that stays, with no value.
    Parent { path: String },
    /// One node goes away.
    Delete { path: String },
    /// The session ends, and all that hangs on it goes.
    Close,
}

/// A part of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    /// A node comes to be; fails when there is one.
    Create {
        path: String,
        value: String,
        ephemeral: bool,
    },
    /// The node must be there at this version.
    Set {
        path: String,
        value: String,
        version: i32,
    },
    /// The node must be there at this version.
    Delete { path: String, version: i32 },
    /// The node must be there at this version.
    Check { path: String, version: i32 },
}

/// What ZooKeeper knows of a node beside its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stat {
    /// The transaction that wrote its value last; never the same for two values.
    pub(crate) mzxid: i64,
    /// Counts the writes since the node was made.
    pub(crate) version: i32,
    /// The session it ends with; 0: none.
    pub(crate) owner: i64,
    /// The transaction that made or deleted a child last.
    pub(crate) pzxid: i64,
}

/// What a request brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Node(Node),
    Stat(Stat),
    Children(Vec<String>, Stat),
    Multi(Vec<Part>),
    Done,
}

/// A node as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Bytes that are no UTF-8 are replaced.
    pub(crate) value: String,
    pub(crate) stat: Stat,
}

/// What came of a part of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Done; a `Set` says what the node is like now.
    Done(Option<Stat>),
    /// Not done; 0: because of another part.
    Failed(i32),
}

impl Request {
    /// The request as sent; `acl` is what new nodes get.
    pub(crate) fn write(&self, xid: i32, acl: &[Acl]) -> Writer {
        let mut writer = Writer::default();
        writer.int(xid);
        match self {
            Self::Data { path, watch } => writer.int(DATA).text(path).flag(*watch),
            Self::Exists { path, watch } => writer.int(EXISTS).text(path).flag(*watch),
            Self::Children { path, watch } => writer.int(CHILDREN).text(path).flag(*watch),
            Self::Parent { path } => {
                writer.int(CREATE).text(path).bytes(&[]);
                write_acl(&mut writer, acl);
                writer.int(0)
            }
            Self::Delete { path } => writer.int(DELETE).text(path).int(ANY_VERSION),
            Self::Close => writer.int(CLOSE),
            Self::Multi(ops) => {
                writer.int(MULTI);
                for op in ops {
                    writer.int(op.code()).flag(false).int(-1);
                    op.write(&mut writer, acl);
                }
                writer.int(END).flag(true).int(-1)
            }
        };
        writer
    }

    /// Reads the answer behind its header.
    pub(crate) fn read(&self, body: &mut Scanner) -> Result<Reply, Broken> {
        Ok(match self {
            Self::Data { .. } => Reply::Node(Node {
                value: body.text()?,
                stat: Stat::read(body)?,
            }),
            Self::Exists { .. } => Reply::Stat(Stat::read(body)?),
            Self::Children { .. } => Reply::Children(body.texts()?, Stat::read(body)?),
            Self::Multi(_) => Reply::Multi(read_parts(body)?),
            Self::Parent { .. } | Self::Delete { .. } | Self::Close => Reply::Done,
        })
    }
}

impl Op {
    const fn code(&self) -> i32 {
        match self {
            Self::Create { .. } => CREATE,
            Self::Set { .. } => SET,
            Self::Delete { .. } => DELETE,
            Self::Check { .. } => CHECK,
        }
    }

    fn write(&self, writer: &mut Writer, acl: &[Acl]) {
        match self {
            Self::Create {
                path,
                value,
                ephemeral,
            } => {
                writer.text(path).text(value);
                write_acl(writer, acl);
                writer.int(if *ephemeral { EPHEMERAL } else { 0 });
            }
            Self::Set {
                path,
                value,
                version,
            } => {
                writer.text(path).text(value).int(*version);
            }
            Self::Delete { path, version } | Self::Check { path, version } => {
                writer.text(path).int(*version);
            }
        }
    }
}

/// Who may do what with a new node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acl {
    pub(crate) permissions: i32,
    pub(crate) scheme: String,
    pub(crate) id: String,
}

fn write_acl(writer: &mut Writer, acl: &[Acl]) {
    writer.int(length(acl.len()));
    for one in acl {
        writer.int(one.permissions).text(&one.scheme).text(&one.id);
    }
}

fn read_parts(body: &mut Scanner) -> Result<Vec<Part>, Broken> {
    let mut parts = Vec::new();
    loop {
        let (kind, end, _) = (body.int()?, body.flag()?, body.int()?);
        if end {
            return Ok(parts);
        }
        parts.push(match kind {
            CREATE => {
                body.text()?;
                Part::Done(None)
            }
            SET => Part::Done(Some(Stat::read(body)?)),
            DELETE | CHECK => Part::Done(None),
            END => Part::Failed(body.int()?),
            _ => return Err(Broken),
        });
    }
}

impl Stat {
    fn read(body: &mut Scanner) -> Result<Self, Broken> {
        body.long()?; // czxid
        let mzxid = body.long()?;
        body.long()?; // ctime
        body.long()?; // mtime
        let version = body.int()?;
        body.int()?; // cversion
        body.int()?; // aversion
        let owner = body.long()?;
        body.int()?; // dataLength
        body.int()?; // numChildren
        let pzxid = body.long()?;
        Ok(Self {
            mzxid,
            version,
            owner,
            pzxid,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_failed_says_where() {
        let mut writer = Writer::default();
        for error in [0, code::NO_NODE, -2] {
            writer.int(END).flag(false).int(error).int(error);
        }
        writer.int(END).flag(true).int(-1);
        let mut body = Scanner(writer.frame());
        body.int().unwrap();
        let read = Request::Multi(Vec::new()).read(&mut body).unwrap();
        let failed = [0, code::NO_NODE, -2].map(Part::Failed);
        assert_eq!(read, Reply::Multi(failed.to_vec()));
    }

    #[test]
    fn an_answer_that_breaks_off_is_no_answer() {
        for request in [
            Request::Data {
                path: "/a".into(),
                watch: false,
            },
            Request::Children {
                path: "/a".into(),
                watch: false,
            },
            Request::Multi(Vec::new()),
        ] {
            let mut body = Scanner(bytes::Bytes::from_static(&[0, 0, 0, 1, 65]));
            assert_eq!(request.read(&mut body), Err(Broken), "{request:?}");
        }
    }
}
