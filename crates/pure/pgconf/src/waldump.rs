//! What pg_waldump prints of transactions and locks: when each transaction ended, and who locked a table first.

use std::collections::BTreeSet;

use pgherd_domain::{Lsn, WallTime};

/// Transactions that are over before a moment, from records of the kind `Transaction`.
#[derive(Debug)]
pub struct TransactionsSeen {
    time: WallTime,
    over: BTreeSet<u32>,
    first_late: Option<Lsn>,
}

impl TransactionsSeen {
    /// Nothing read yet.
    pub const fn before(time: WallTime) -> Self {
        Self {
            time,
            over: BTreeSet::new(),
            first_late: None,
        }
    }

    /// Reads one line. Lines of the first commit that is too late and after it say nothing more.
    pub fn read(&mut self, line: &str) {
        if self.first_late.is_some() {
            return;
        }
        let Some((xid, lsn, text)) = record(line) else {
            return;
        };
        let commits = text.starts_with("COMMIT");
        if !commits && !text.starts_with("ABORT") {
            return;
        }
        let at = text
            .split_once(' ')
            .and_then(|(_, rest)| moment(rest.split(';').next().unwrap_or_default()));
        if commits && at.is_none_or(|at| at >= self.time) {
            self.first_late = Some(lsn);
            return;
        }
        self.over.insert(xid);
        let subordinate = text.split_once("subxacts:").map_or("", |(_, rest)| rest);
        let subordinate = subordinate.split(';').next().unwrap_or_default();
        let numbers = subordinate
            .split_whitespace()
            .map_while(|it| it.parse::<u32>().ok());
        self.over.extend(numbers);
    }

    /// Where the first commit that is too late begins.
    pub const fn first_late(&self) -> Option<Lsn> {
        self.first_late
    }
}

/// The first lock of a transaction that is not over, from records of the kind `Standby`.
#[derive(Debug, Default)]
pub struct LocksSeen(Option<Lsn>);

impl LocksSeen {
    /// Reads one line.
    pub fn read(&mut self, line: &str, over: &TransactionsSeen) {
        let Some((_, lsn, text)) = record(line) else {
            return;
        };
        if self.0.is_some() || !text.starts_with("LOCK") {
            return;
        }
        let mut words = text.split_whitespace();
        let mut late = false;
        while let Some(word) = words.next() {
            if word == "xid" {
                let xid = words.next().and_then(|xid| xid.parse().ok());
                late |= xid.is_some_and(|xid| !over.over.contains(&xid));
            }
        }
        if late {
            self.0 = Some(lsn);
        }
    }

    /// Where it begins.
    pub const fn first(&self) -> Option<Lsn> {
        self.0
    }
}

/// Transaction, position and description of a record.
fn record(line: &str) -> Option<(u32, Lsn, &str)> {
    let field = |name: &str| {
        let rest = line.split_once(name)?.1.trim_start();
        rest.split(',').next()
    };
    let xid = field(" tx:")?.trim().parse().ok()?;
    let lsn = Lsn::parse(field(" lsn:")?.trim()).ok()?;
    let text = line.split_once(" desc: ")?.1;
    Some((xid, lsn, text))
}

/// `2026-11-26 14:03:00.123456 UTC`
fn moment(text: &str) -> Option<WallTime> {
    let text = text.trim().strip_suffix(" UTC")?;
    WallTime::parse(&format!("{}Z", text.replacen(' ', "T", 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As pg_waldump of PostgreSQL 15 prints it.
    const TRANSACTIONS: &str = "\
rmgr: Transaction len (rec/tot):     46/    46, tx:        740, lsn: 0/03000100, prev 0/030000C8, desc: COMMIT 2026-11-26 14:02:58.500000 UTC
rmgr: Transaction len (rec/tot):     34/    34, tx:        741, lsn: 0/03000200, prev 0/03000180, desc: ABORT 2026-11-26 14:02:59.000000 UTC
rmgr: Transaction len (rec/tot):    405/   405, tx:        742, lsn: 0/03000300, prev 0/03000280, desc: COMMIT 2026-11-26 14:02:59.100000 UTC; subxacts: 743 744; inval msgs: catcache 80
rmgr: Transaction len (rec/tot):     46/    46, tx:        745, lsn: 0/03000500, prev 0/03000480, desc: COMMIT 2026-11-26 14:03:00.000000 UTC; rels: base/5/16390
rmgr: Transaction len (rec/tot):     46/    46, tx:        746, lsn: 0/03000600, prev 0/03000580, desc: COMMIT 2026-11-26 14:02:59.900000 UTC";

    const LOCKS: &str = "\
rmgr: Standby     len (rec/tot):     42/    42, tx:        744, lsn: 0/03000290, prev 0/03000280, desc: LOCK xid 744 db 5 rel 16389
rmgr: Standby     len (rec/tot):     50/    50, tx:          0, lsn: 0/03000310, prev 0/03000300, desc: RUNNING_XACTS nextXid 746 latestCompletedXid 744 oldestRunningXid 745
rmgr: Standby     len (rec/tot):     42/    42, tx:        745, lsn: 0/03000400, prev 0/03000380, desc: LOCK xid 745 db 5 rel 16390
rmgr: Standby     len (rec/tot):     42/    42, tx:        745, lsn: 0/03000440, prev 0/03000400, desc: LOCK xid 745 db 5 rel 16391";

    fn seen(time: &str) -> (TransactionsSeen, LocksSeen) {
        let mut over = TransactionsSeen::before(WallTime::parse(time).unwrap());
        TRANSACTIONS.lines().for_each(|line| over.read(line));
        let mut locks = LocksSeen::default();
        LOCKS.lines().for_each(|line| locks.read(line, &over));
        (over, locks)
    }

    #[test]
    fn the_first_lock_of_a_transaction_that_ends_too_late_is_found() {
        let (over, locks) = seen("2026-11-26T14:03:00Z");
        assert_eq!(over.first_late(), Some(Lsn::new(0x0300_0500)));
        assert_eq!(locks.first(), Some(Lsn::new(0x0300_0400)));
    }

    #[test]
    fn subordinate_transactions_end_with_theirs() {
        let (_, locks) = seen("2026-11-26T14:02:59Z");
        assert_eq!(locks.first(), Some(Lsn::new(0x0300_0290)));
    }

    #[test]
    fn rubbish_says_nothing() {
        let mut over = TransactionsSeen::before(WallTime::from_micros(0));
        for line in [
            "",
            "tx: lsn: desc: COMMIT",
            "pg_waldump: error: could not find file",
        ] {
            over.read(line);
        }
        assert_eq!(over.first_late(), None);
    }
}
