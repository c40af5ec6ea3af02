//! A host's disk as PostgreSQL and the agent feel it: how slow it is, and whether it is full.

use pgherd_domain::WorkError;

/// What is wrong with a disk; by default nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disk {
    /// So many times longer than usual takes everything that waits for it; 1 is as usual.
    pub(crate) slowness: u32,
    /// Nothing more can be written.
    pub(crate) full: bool,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            slowness: 1,
            full: false,
        }
    }
}

/// What is said when the disk is full.
pub(crate) const NO_SPACE: &str = "no space left on device";

impl Disk {
    /// # Errors
    /// When it is full.
    pub(crate) fn has_space(self) -> Result<(), WorkError> {
        if self.full {
            Err(WorkError::Failed(NO_SPACE.to_owned()))
        } else {
            Ok(())
        }
    }
}
