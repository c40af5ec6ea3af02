//! Keeping the leases: the leader's record, and the beat in my pod.

use pgherd_domain::MemberName;
use pgherd_ports::{DcsError, Leading, Renewal};

use crate::fault::Fault;
use crate::names::Thing;
use crate::pace::Pace;
use crate::reign::{Holder, changed};
use crate::store::Store;

/// How often the leader's object may change within one attempt.
const ROUNDS_MAX: usize = 4;

impl Store {
    /// Renews the leader's record if the key is mine, and tells who holds it.
    pub(crate) async fn renew(&self) -> Result<Renewal, DcsError> {
        let pace = self.renewal();
        let leader = self.http.ask(pace, |_| self.renew_leader(pace));
        // A pod that can not be written must not cost the leader its key.
        let (leader, alive) = tokio::join!(leader, self.beat(pace));
        let leading = leader?;
        Ok(Renewal {
            alive: alive || leading == Leading::Me,
            leading,
        })
    }

    async fn renew_leader(&self, pace: Pace) -> Result<Leading, Fault> {
        // The version that I left it at saves a question: where it is still that one, the key is still mine.
        let mut kept = self.kept_leader();
        for _ in 0..ROUNDS_MAX {
            let asked = kept.is_none();
            let object = match kept.take() {
                Some(object) => Some(object),
                None => self.thing(Thing::Leader, pace).await?,
            };
            match (self.holder(object.as_ref()), object) {
                (Holder::Me, Some(object)) => {
                    if self.renew_record(&object, pace).await?.is_some() {
                        return Ok(Leading::Me);
                    }
                }
                // By what was kept nobody can say who leads now.
                _ if !asked => {}
                (Holder::Unsettled, Some(object)) => {
                    self.take_up(&object, pace).await?;
                    return Ok(Leading::Me);
                }
                (Holder::Other(name), _) => return Ok(Leading::Other(name)),
                (Holder::FormerLife, _) => return Ok(self.former_life()),
                (Holder::Nobody | Holder::Me | Holder::Unsettled, _) => return Ok(Leading::Nobody),
            }
        }
        Err(changed(&self.names.name(Thing::Leader)))
    }

    /// My name on a lease that is not mine is somebody else.
    fn former_life(&self) -> Leading {
        let me: Option<&MemberName> = self.me.as_ref();
        me.map_or(Leading::Nobody, |me| Leading::Other(me.clone()))
    }
}
