//! `watchdog.driver: testing`: a fifo or a file in place of a device, for drills without one. A timeout is written to it
//! as a line, `Ctimeout=25`; everything else is what a device would get.

use std::fs::File;
use std::io::{self, Write as _};
use std::time::Duration;

use crate::device::{Device, Support};

/// What a device has before anybody sets its timeout.
const UNSET: Duration = Duration::from_secs(60);

/// A fifo or a file.
#[derive(Debug)]
pub(crate) struct Testing {
    file: File,
    timeout: Duration,
}

impl Testing {
    pub(crate) const fn new(file: File) -> Self {
        Self {
            file,
            timeout: UNSET,
        }
    }
}

impl Device for Testing {
    fn support(&self) -> io::Result<Support> {
        Ok(Support {
            identity: "testing".to_owned(),
            sets_timeout: true,
            magic_close: true,
        })
    }

    fn set_timeout(&mut self, timeout: Duration) -> io::Result<Duration> {
        writeln!(self.file, "Ctimeout={}", timeout.as_secs())?;
        self.timeout = timeout;
        Ok(timeout)
    }

    fn timeout(&self) -> io::Result<Duration> {
        Ok(self.timeout)
    }

    fn keep_alive(&mut self) -> io::Result<()> {
        self.file.write_all(b"1")
    }

    fn disable(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn say_farewell(&mut self) -> io::Result<()> {
        self.file.write_all(b"V")
    }
}
