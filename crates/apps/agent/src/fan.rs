//! A value that several tasks wait for, each through a channel of its own.
//!
//! tokio's `watch` wakes several receivers in an order of chance. Here they are woken in the order in which
//! they subscribed, so that a universe of the simulator repeats byte for byte.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The value, and who hears of its changes.
#[derive(Debug)]
pub(crate) struct Fan<T> {
    value: Mutex<T>,
    hearers: Mutex<Vec<watch::Sender<T>>>,
}

impl<T: Clone> Fan<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            hearers: Mutex::new(Vec::new()),
        }
    }

    /// Hears of every change from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<T> {
        let value = lock(&self.value);
        let (tell, hear) = watch::channel(value.clone());
        lock(&self.hearers).push(tell);
        hear
    }

    /// As it is now.
    pub(crate) fn get(&self) -> T {
        lock(&self.value).clone()
    }

    /// Changes it in one step; tells everybody when `change` says that it did.
    pub(crate) fn modify_if(&self, change: impl FnOnce(&mut T) -> bool) {
        let mut value = lock(&self.value);
        if !change(&mut value) {
            return;
        }
        // Still locked: nobody hears an older value after a newer one.
        lock(&self.hearers).retain(|hearer| hearer.send(value.clone()).is_ok());
    }

    /// Replaces it, and tells everybody.
    pub(crate) fn replace(&self, new: T) {
        self.modify_if(|value| {
            *value = new;
            true
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_hears_the_last_value_and_only_of_changes() {
        let fan = Fan::new(1);
        let (mut first, mut second) = (fan.subscribe(), fan.subscribe());
        fan.modify_if(|_| false);
        assert!(!first.has_changed().unwrap());
        fan.replace(2);
        fan.replace(3);
        first.changed().await.unwrap();
        assert_eq!(
            (*first.borrow_and_update(), *second.borrow_and_update()),
            (3, 3)
        );
        drop(second);
        fan.replace(4);
        assert_eq!((*first.borrow_and_update(), fan.get()), (4, 4));
        drop(fan);
        assert!(first.changed().await.is_err(), "nothing more will come");
    }
}
