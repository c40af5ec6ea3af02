//! Refuses answers of members that fell behind: a member cut off from the others still knows an old raft term.

use std::sync::{Mutex, PoisonError};

use etcd_client::ResponseHeader;

use crate::fault::Fault;

/// The highest raft term seen, of one etcd cluster.
#[derive(Debug, Default)]
pub(crate) struct Terms(Mutex<Highest>);

#[derive(Debug, Default, Clone, Copy)]
struct Highest {
    cluster: u64,
    term: u64,
}

impl Terms {
    /// Admits an answer unless its raft term is lower than the highest seen in the same etcd cluster
    /// (contract §4.6).
    pub(crate) fn admit(&self, header: Option<&ResponseHeader>) -> Result<(), Fault> {
        match header {
            Some(header) => self.admit_term(header.cluster_id(), header.raft_term()),
            None => Ok(()),
        }
    }

    fn admit_term(&self, cluster: u64, term: u64) -> Result<(), Fault> {
        let mut highest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if highest.cluster != cluster {
            *highest = Highest { cluster, term };
        }
        if term < highest.term {
            return Err(Fault::answered(format!(
                "it is at raft term {term} while others are at {}: it fell behind",
                highest.term
            )));
        }
        highest.term = term;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_of_an_old_term_is_refused_and_a_new_cluster_starts_anew() {
        let terms = Terms::default();
        terms.admit_term(1, 5).unwrap();
        terms.admit_term(1, 7).unwrap();
        assert!(matches!(terms.admit_term(1, 6), Err(Fault::Passing { .. })));
        terms.admit_term(1, 7).unwrap();
        terms.admit_term(2, 2).unwrap();
    }
}
