//! The kernel's devices, and the choice between them and a fifo.

use std::fs::File;
use std::io::{self, Write as _};
use std::time::Duration;

use fs_err::OpenOptions;
use rustix::fs::{Access, access};

use crate::device::{Device, Driver, Support};
use crate::ioctl;
use crate::testing::Testing;

/// Devices of this host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Linux;

impl Driver for Linux {
    fn check(&self, path: &str) -> io::Result<()> {
        Ok(access(path, Access::WRITE_OK)?)
    }

    fn open(&self, path: &str, testing: bool) -> io::Result<Box<dyn Device>> {
        // A file that stands in for a device keeps all that was ever written to it.
        let mut options = OpenOptions::new();
        let file: File = options.write(true).append(testing).open(path)?.into();
        Ok(if testing {
            Box::new(Testing::new(file))
        } else {
            Box::new(Opened(file))
        })
    }
}

/// An open device.
#[derive(Debug)]
struct Opened(File);

impl Device for Opened {
    fn support(&self) -> io::Result<Support> {
        let info = ioctl::support(&self.0)?;
        let name = info.identity.split(|byte| *byte == 0).next();
        Ok(Support {
            identity: String::from_utf8_lossy(name.unwrap_or_default()).into_owned(),
            sets_timeout: info.options & ioctl::SETS_TIMEOUT != 0,
            magic_close: info.options & ioctl::MAGIC_CLOSE != 0,
        })
    }

    fn set_timeout(&mut self, timeout: Duration) -> io::Result<Duration> {
        let seconds = i32::try_from(timeout.as_secs()).unwrap_or(i32::MAX);
        Ok(seconds_of(ioctl::set_timeout(&self.0, seconds)?))
    }

    fn timeout(&self) -> io::Result<Duration> {
        Ok(seconds_of(ioctl::timeout(&self.0)?))
    }

    fn keep_alive(&mut self) -> io::Result<()> {
        self.0.write_all(b"1")
    }

    fn disable(&mut self) -> io::Result<()> {
        Ok(ioctl::disable(&self.0)?)
    }

    fn say_farewell(&mut self) -> io::Result<()> {
        self.0.write_all(b"V")
    }
}

fn seconds_of(seconds: i32) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_watchdog_answers_no_ioctl() {
        let file = Opened(tempfile::tempfile().unwrap());
        assert!(file.support().is_err() && file.timeout().is_err());
        let mut file = file;
        assert!(file.set_timeout(Duration::from_secs(5)).is_err() && file.disable().is_err());
    }

    #[test]
    fn a_device_that_is_missing_is_told_before_it_is_opened() {
        let error = Linux.check("/nowhere/watchdog").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
