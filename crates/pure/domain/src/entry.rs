//! Whom the local server lets in: everybody whom its pg_hba.conf names, or for a while only this project.

/// Whether clients get in. A server that may hold commits which no standby has confirmed is started closed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Entry {
    /// Whoever pg_hba.conf lets in.
    #[default]
    Open,
    /// This server, or the next one that is started on the directory, lets in physical replication and the agents'
    /// own users only.
    Closed,
    /// Open, and it can not be closed.
    Unclosable {
        /// What is in the way.
        why: String,
    },
}
