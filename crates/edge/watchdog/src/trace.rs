//! The trace that a counting device leaves beside the data directory. An agent that was killed could not stop its
//! device: it goes on counting. The next agent finds the trace, and keeps the device alive or stops it.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

/// The file, and what tells this boot from another: a device does not count across a reset.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    path: PathBuf,
    boot: String,
}

impl Trace {
    /// `.pgherd-NAME.watchdog` beside `data_dir`.
    pub(crate) fn beside(data_dir: &Path) -> Self {
        let name = data_dir
            .file_name()
            .map_or_else(|| "data".into(), |name| name.to_string_lossy());
        let folder = data_dir.parent().unwrap_or(data_dir);
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self {
            path: folder.join(format!(".pgherd-{name}.watchdog")),
            boot: boot.trim().to_owned(),
        }
    }

    /// The device that an agent before this one left counting.
    pub(crate) fn left_counting(&self) -> Option<String> {
        let text = fs::read_to_string(&self.path).ok()?;
        let (boot, device) = text.trim_end().split_once(' ')?;
        (boot == self.boot).then(|| device.to_owned())
    }

    /// `device` begins to count.
    pub(crate) fn leave(&self, device: &str) -> io::Result<()> {
        fs::write(&self.path, format!("{} {device}\n", self.boot))
    }

    /// Nothing counts any more.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_agent_finds_the_device_and_another_boot_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let trace = Trace::beside(&folder.path().join("main"));
        assert_eq!(trace.left_counting(), None);
        trace.leave("/dev/watchdog1").unwrap();
        let next = Trace::beside(&folder.path().join("main"));
        assert_eq!(next.left_counting().as_deref(), Some("/dev/watchdog1"));
        let rebooted = Trace {
            boot: "another".to_owned(),
            ..next.clone()
        };
        assert_eq!(rebooted.left_counting(), None);
        next.remove().unwrap();
        next.remove().unwrap();
        assert_eq!(trace.left_counting(), None);
    }
}
