//! What goes with requests and may change while the store is open: a reload counts from the next request on
//! (contract §2.7).

use pgherd_settings::ConsulAccess;
use tokio::sync::watch;

/// The token, the datacenter and what is said of the service.
#[derive(Debug)]
pub(crate) struct Access(watch::Sender<ConsulAccess>);

impl Access {
    pub(crate) fn new(access: ConsulAccess) -> Self {
        Self(watch::Sender::new(access))
    }

    /// As it is now.
    pub(crate) fn now(&self) -> ConsulAccess {
        self.0.borrow().clone()
    }

    /// From now on.
    pub(crate) fn set(&self, access: &ConsulAccess) {
        self.0.send_if_modified(|now| {
            let changed = now != access;
            if changed {
                access.clone_into(now);
            }
            changed
        });
    }

    /// Tells of changes.
    pub(crate) fn changes(&self) -> watch::Receiver<ConsulAccess> {
        self.0.subscribe()
    }
}
