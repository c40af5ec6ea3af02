//! The watchdog port on Linux.
//!
//! Read in this order: `device` (what a device can do, as a trait), `ioctl` and `linux` (the kernel's), `testing` (a
//! fifo in its place), `trace` (what a killed agent leaves to the next), `keeping` (what is done when), `beside` (the
//! thread that does it, so that a device that hangs hangs nothing else).

mod beside;
mod device;
mod ioctl;
mod keeping;
mod linux;
mod testing;
mod trace;

pub use beside::WatchdogBeside;
