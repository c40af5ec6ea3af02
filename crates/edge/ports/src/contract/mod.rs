//! What every implementation of the DCS port must do. The real one runs this against a real store, the
//! simulated one in memory and in simulated time: `dcs_contract!(run)`.
//!
//! Read in this order: `leader` (the key), `lease` (what it hangs on), `write` and `read` (all other keys).

// Rules are tests: they end with a panic that says which rule was broken.
#![expect(
    clippy::expect_used,
    reason = "a rule that meets an error has failed, and the panic is how it says so"
)]

mod leader;
mod lease;
mod read;
mod write;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::{ClusterView, MemberName, Revision};

use crate::{Acquisition, Condition, Dcs, Key, Written};

pub use leader::*;
pub use lease::*;
pub use read::*;
pub use write::*;

/// Where a rule is tried: one empty cluster prefix in some store.
#[async_trait]
pub trait Ground: Send + Sync {
    /// A handle for a member of this name, with leases of [`Ground::ttl`]. Asked twice for one name, the
    /// second is the member after a restart: it has another lease.
    async fn member(&self, name: &str) -> Arc<dyn Dcs>;

    /// The ttl of leases. Time must not pass by itself so fast that it ends between a few operations.
    fn ttl(&self) -> Duration;

    /// Lets time pass.
    async fn advance(&self, span: Duration);
}

/// A future that a rule returns.
pub type Running<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A rule, tried on a ground; panics when it is broken.
pub type Rule = for<'a> fn(&'a dyn Ground) -> Running<'a>;

/// Makes one test of every rule. `$run` is a function that takes a [`Rule`], makes a fresh ground and
/// drives the rule on it to its end.
///
/// ```ignore
/// fn run(rule: Rule) {
///     runtime().block_on(async { rule(&MyGround::new().await).await });
/// }
/// pgherd_ports::dcs_contract!(run);
/// ```
#[macro_export]
macro_rules! dcs_contract {
    ($run:path) => {
        $crate::dcs_contract!(@rules each $run);
    };
    (@rules $then:ident $($run:path)?) => {
        $crate::dcs_contract! { @$then $($run)?;
            the_leader_key_is_created_once
            taking_the_key_again_changes_nothing
            a_released_key_is_free_at_once
            only_the_holder_releases
            a_restarted_member_takes_its_own_key_over
            a_key_is_handed_over_onto_the_successors_lease
            a_successor_without_a_lease_gets_nothing
            only_the_holder_hands_over
            renewals_keep_the_keys
            a_lease_that_ends_frees_both_keys
            a_renewal_tells_who_leads
            after_a_lease_ended_the_next_write_makes_another
            leaving_takes_both_keys_away_at_once
            another_ttl_keeps_both_keys
            a_shorter_ttl_ends_the_lease_sooner
            an_absent_key_is_created_once
            a_stale_writer_is_refused
            the_same_once_more_overtakes
            an_unconditional_write_overwrites
            who_does_not_lead_is_refused
            who_led_before_is_refused
            deleting_what_is_not_there_is_done
            a_stale_deletion_is_refused
            a_read_sees_all_keys_as_written
            a_cleared_failover_keeps_its_revision
            garbage_counts_as_absent
        }
    };
    (@list; $($rule:ident)*) => {
        [$((
            stringify!($rule),
            (|ground| ::std::boxed::Box::pin($crate::contract::$rule(ground))) as $crate::contract::Rule,
        )),*]
    };
    (@each $run:path; $($rule:ident)*) => {
        $(
            #[test]
            fn $rule() {
                $run(|ground| ::std::boxed::Box::pin($crate::contract::$rule(ground)));
            }
        )*
    };
}

/// Every rule with its name, for a ground that can be shared by all of them at once.
pub fn rules() -> Vec<(&'static str, Rule)> {
    dcs_contract!(@rules list).to_vec()
}

/// A member document as a running replica writes it.
const RUNNING: &str = r#"{"conn_url":"postgres://h:5432/postgres","api_url":"http://h:8008/patroni","state":"running","role":"replica","version":"4.1.0"}"#;

fn name(text: &str) -> MemberName {
    MemberName::new(text).expect("a valid name")
}

fn member_key(text: &str) -> Key {
    Key::Member(name(text))
}

/// Writes this member's key, so that it has a lease.
async fn join(dcs: &Arc<dyn Dcs>, member: &str) {
    put(dcs, &member_key(member), RUNNING, Condition::ALWAYS).await;
}

/// Writes what must succeed; gives the revision.
async fn put(dcs: &Arc<dyn Dcs>, key: &Key, value: &str, when: Condition) -> Revision {
    match dcs.put(key, value, when).await.expect("the store answers") {
        Written::Done(revision) => revision,
        Written::Refused => {
            unreachable!("a write was refused although its condition held: {key:?}")
        }
    }
}

/// Writes what must be refused.
async fn put_refused(dcs: &Arc<dyn Dcs>, key: &Key, value: &str, when: Condition) {
    let written = dcs.put(key, value, when).await.expect("the store answers");
    assert_eq!(written, Written::Refused, "{key:?} under {when:?}");
}

async fn acquire(dcs: &Arc<dyn Dcs>) -> Acquisition {
    dcs.acquire_leader().await.expect("the store answers")
}

async fn load(dcs: &Arc<dyn Dcs>) -> ClusterView {
    dcs.load().await.expect("the store answers")
}

/// The leader's name as `dcs` reads it.
async fn leader(dcs: &Arc<dyn Dcs>) -> Option<String> {
    load(dcs).await.leader_name().map(ToString::to_string)
}

/// Lets time pass until `expected` holds in what `dcs` reads; stores end leases somewhat late, so three ttl are
/// allowed.
async fn until(
    ground: &dyn Ground,
    dcs: &Arc<dyn Dcs>,
    what: &str,
    expected: impl Fn(&ClusterView) -> bool,
) {
    const STEPS: u32 = 24;
    for _ in 0..STEPS {
        if expected(&load(dcs).await) {
            return;
        }
        ground.advance(ground.ttl() / 8).await;
    }
    let view = load(dcs).await;
    assert!(expected(&view), "{what} within three ttl; found {view:?}");
}
