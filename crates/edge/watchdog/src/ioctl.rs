//! The ioctls of `/dev/watchdog` (linux/watchdog.h), the only unsafe code of the workspace: no safe interface to
//! them exists. Each call hands the kernel one value of the type that it reads or writes for that number.
#![expect(
    unsafe_code,
    reason = "an ioctl's number alone says which memory the kernel writes to, so the compiler can not check it"
)]

use std::ffi::c_int;
use std::fs::File;

use rustix::io::Result;
use rustix::ioctl::{Getter, Opcode, Setter, Updater, ioctl, opcode};

/// `struct watchdog_info`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Info {
    pub(crate) options: u32,
    pub(crate) firmware_version: u32,
    pub(crate) identity: [u8; 32],
}

const GROUP: u8 = b'W';
const GET_SUPPORT: Opcode = opcode::read::<Info>(GROUP, 0);
/// The kernel numbers it as a read, and reads the value all the same.
const SET_OPTIONS: Opcode = opcode::read::<c_int>(GROUP, 4);
const SET_TIMEOUT: Opcode = opcode::read_write::<c_int>(GROUP, 6);
const GET_TIMEOUT: Opcode = opcode::read::<c_int>(GROUP, 7);

/// `WDIOF_SETTIMEOUT`
pub(crate) const SETS_TIMEOUT: u32 = 0x0080;
/// `WDIOF_MAGICCLOSE`
pub(crate) const MAGIC_CLOSE: u32 = 0x0100;
/// `WDIOS_DISABLECARD`
const DISABLE_CARD: c_int = 0x0001;

/// `WDIOC_GETSUPPORT`
pub(crate) fn support(device: &File) -> Result<Info> {
    // SAFETY: the kernel writes one `struct watchdog_info`, which `Info` lays out and whose every bit pattern is valid.
    let get = unsafe { Getter::<GET_SUPPORT, Info>::new() };
    // SAFETY: the file stays open during the call, and what `get` points to outlives it.
    unsafe { ioctl(device, get) }
}

/// `WDIOC_SETTIMEOUT`; gives the timeout that the device has now.
pub(crate) fn set_timeout(device: &File, seconds: c_int) -> Result<c_int> {
    let mut seconds = seconds;
    // SAFETY: the kernel reads one int and writes one back.
    let set = unsafe { Updater::<SET_TIMEOUT, c_int>::new(&mut seconds) };
    // SAFETY: the file stays open during the call, and `seconds` outlives it.
    unsafe { ioctl(device, set) }?;
    Ok(seconds)
}

/// `WDIOC_GETTIMEOUT`
pub(crate) fn timeout(device: &File) -> Result<c_int> {
    // SAFETY: the kernel writes one int.
    let get = unsafe { Getter::<GET_TIMEOUT, c_int>::new() };
    // SAFETY: the file stays open during the call, and what `get` points to outlives it.
    unsafe { ioctl(device, get) }
}

/// `WDIOC_SETOPTIONS` with `WDIOS_DISABLECARD`
pub(crate) fn disable(device: &File) -> Result<()> {
    // SAFETY: the kernel reads one int through the pointer, and writes nothing.
    let set = unsafe { Setter::<SET_OPTIONS, c_int>::new(DISABLE_CARD) };
    // SAFETY: the file stays open during the call, and what `set` points to outlives it.
    unsafe { ioctl(device, set) }
}
