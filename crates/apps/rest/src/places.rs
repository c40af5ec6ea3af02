//! How many connections there may be, in all and of one address: no client takes the places of all others.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections at a time; more wait in the listening queue.
const ALL_MAX: usize = 512;
/// Of these one address may have so many: a load balancer with a check for every backend is far below it.
const ONE_ADDRESS_MAX: usize = 128;

/// The places for connections.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    taken: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

/// A place that is taken; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    address: IpAddr,
    taken: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new() -> Self {
        Self {
            free: Arc::new(Semaphore::new(ALL_MAX)),
            taken: Arc::default(),
        }
    }

    /// Waits until there is room for one more connection, whoever it comes from.
    pub(crate) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// The place of a connection from `address`; `None` when that address has had its share.
    pub(crate) fn take(&self, address: IpAddr, permit: OwnedSemaphorePermit) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(address).or_default();
        if *count >= ONE_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Place {
            address,
            taken: Arc::clone(&self.taken),
            _permit: permit,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = taken.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_address_leaves_places_for_others() {
        let places = Places::new();
        let (greedy, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let mut held = Vec::new();
        for _ in 0..ONE_ADDRESS_MAX {
            let permit = places.room().await.unwrap();
            held.push(places.take(greedy, permit).unwrap());
        }
        let permit = places.room().await.unwrap();
        assert!(places.take(greedy, permit).is_none());
        let permit = places.room().await.unwrap();
        assert!(places.take(other, permit).is_some());
        held.pop();
        let permit = places.room().await.unwrap();
        assert!(places.take(greedy, permit).is_some());
        held.clear();
        assert!(places.taken.lock().unwrap().is_empty());
        assert_eq!(places.free.available_permits(), ALL_MAX);
    }
}
