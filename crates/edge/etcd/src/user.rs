//! User and password of etcd's own authentication.

use std::sync::{Mutex, PoisonError};

use pgherd_settings::{Etcd, Secret};

/// User and password as the settings have them. They may change while the store is open: a reload counts from the next request
/// on (contract §2.7).
#[derive(Debug, Default)]
pub struct User(Mutex<Option<(String, Secret)>>);

impl User {
    /// Those of a section.
    pub fn of(etcd: &Etcd) -> Self {
        let user = Self::default();
        user.follow(etcd);
        user
    }

    /// As they are now.
    pub fn now(&self) -> Option<(String, Secret)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Those of a section from now on. Gives whether they are others.
    pub fn follow(&self, etcd: &Etcd) -> bool {
        let told = etcd.username.clone().zip(etcd.password.clone());
        let mut user = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_another = *user != told;
        *user = told;
        is_another
    }
}
