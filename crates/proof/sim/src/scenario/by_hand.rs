//! What an operator does to PostgreSQL past its agent, as with `pg_ctl`.

use pgherd_domain::{MemberName, WorkError};

use super::parse::{Deed, name};
use crate::postgres;
use crate::world::World;

/// A command of `pg_ctl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hand {
    /// `pg_ctl stop`, in good order.
    Stop,
    /// `pg_ctl start`, as the data directory says.
    Start,
    /// `pg_ctl promote`.
    Promote,
}

/// Reads such a command. `None`: not one of them.
pub(super) fn deed(words: &[&str]) -> Option<Result<Deed, String>> {
    let (hand, who) = match words {
        ["stop", "postgres", who] => (Hand::Stop, who),
        ["start", "postgres", who] => (Hand::Start, who),
        ["promote", "postgres", who] => (Hand::Promote, who),
        _ => return None,
    };
    Some(name(who).map(|who| Deed::ByHand(hand, who)))
}

/// Does it.
pub(super) fn lay(world: &World, hand: Hand, who: &MemberName) -> Result<(), String> {
    let done: Result<(), WorkError> = match hand {
        Hand::Stop => {
            postgres::stop_fast(world, who);
            Ok(())
        }
        Hand::Start => postgres::launch(world, who).map(drop),
        Hand::Promote => postgres::promote_by_hand(world, who).map(drop),
    };
    done.map_err(|error| error.to_string())
}
