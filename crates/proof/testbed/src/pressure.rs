//! Pressure: processes that take CPU and memory away from everybody else on the machine.

use anyhow::Result;

use crate::bed::Testbed;
use crate::host::Host;

/// Takes a core and never gives it back.
const BURN: &str = "while True: pass";
/// Takes memory, writes all of it, and gives it back, for ever: pages have to be found and cleared anew each time.
const FILL: &str = "import sys\nn = int(sys.argv[1]) << 20\nwhile True: b = b'x' * n; del b";

/// Stressors at work, until this is dropped.
#[derive(Debug)]
pub struct Pressure {
    host: Host,
}

impl Pressure {
    /// Starts `burners` processes that use a core each, and `fillers` that fill and free `mebibytes` each, on a host
    /// called `stress`.
    ///
    /// # Errors
    /// When the host cannot be made or Python is not installed.
    pub fn start(bed: &Testbed, burners: usize, fillers: usize, mebibytes: usize) -> Result<Self> {
        let host = bed.host("stress")?;
        let size = mebibytes.to_string();
        for _ in 0..burners {
            drop(host.start("burn", None, &["python3", "-c", BURN].map(str::to_owned))?);
        }
        for _ in 0..fillers {
            let argv = ["python3", "-c", FILL, &size].map(str::to_owned);
            drop(host.start("fill", None, &argv)?);
        }
        Ok(Self { host })
    }
}

impl Drop for Pressure {
    fn drop(&mut self) {
        // The bed kills what is left of its hosts.
        self.host.kill_all().ok();
    }
}
