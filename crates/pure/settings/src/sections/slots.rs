//! `slots` and `ignore_slots` (contract §2.3, §7).

/// A slot that exists wherever the cluster is led.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermanentSlot {
    /// What it carries.
    pub kind: SlotKind,
    /// `primary` or `standby`: only in clusters of that kind.
    pub cluster_type: Option<String>,
    /// PostgreSQL 17's `failover` property of a logical slot.
    pub failover: bool,
}

/// What a slot carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotKind {
    /// WAL for a standby.
    Physical,
    /// Decoded changes of one database.
    Logical {
        /// The database.
        database: String,
        /// The output plugin.
        plugin: String,
    },
}

/// A pattern of slots that are never touched: every property given must match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlotMatcher {
    /// Exact slot name.
    pub name: Option<String>,
    /// `physical` or `logical`.
    pub kind: Option<String>,
    /// Exact database name.
    pub database: Option<String>,
    /// Exact plugin name.
    pub plugin: Option<String>,
}
