//! What a watchdog device can do. Real devices and those of tests answer alike.

use std::fmt;
use std::io;
use std::time::Duration;

/// What a device says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Support {
    /// Its name.
    pub(crate) identity: String,
    /// Its timeout can be set.
    pub(crate) sets_timeout: bool,
    /// It stops counting when `V` was the last thing written before it is closed.
    pub(crate) magic_close: bool,
}

/// A device that is open. It counts from the opening on. Dropping it closes it without a word, and then it goes on
/// counting.
pub(crate) trait Device: fmt::Debug + Send {
    /// What it says of itself.
    fn support(&self) -> io::Result<Support>;

    /// Asks for a timeout, in whole seconds, and tells the one that it has now. The device counts anew.
    fn set_timeout(&mut self, timeout: Duration) -> io::Result<Duration>;

    /// The timeout that it has.
    fn timeout(&self) -> io::Result<Duration>;

    /// Lets it count anew.
    fn keep_alive(&mut self) -> io::Result<()>;

    /// Tells it to stop counting, where it takes such an order; `V` is the one that all must take.
    fn disable(&mut self) -> io::Result<()>;

    /// Writes `V`, after which closing stops it.
    fn say_farewell(&mut self) -> io::Result<()>;
}

/// Opens devices.
pub(crate) trait Driver: fmt::Debug + Send {
    /// Whether there is a device that this process may use, without opening it: that would let it count.
    fn check(&self, path: &str) -> io::Result<()>;

    /// Opens it, and with that lets it count.
    fn open(&self, path: &str, testing: bool) -> io::Result<Box<dyn Device>>;
}
