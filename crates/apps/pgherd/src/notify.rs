//! What the service manager is told (sd_notify, contract §1.3): ready, reloading, stopping, the line of the turn,
//! and that turns complete. Nothing, where nobody asked for it with `NOTIFY_SOCKET`.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;

use pgherd_ports::Shown;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use tracing::warn;

/// The socket of the service manager.
#[derive(Debug)]
pub(crate) struct Notify(Option<(UnixDatagram, SocketAddr)>);

/// What the agent goes through, as signals tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// It works.
    Running,
    /// It was told to read its settings again.
    Reloading,
    /// It was told to end.
    Stopping,
}

impl Notify {
    /// The socket that `NOTIFY_SOCKET` names.
    pub(crate) fn from_environment() -> Self {
        Self::to(std::env::var_os("NOTIFY_SOCKET").as_deref())
    }

    fn to(name: Option<&OsStr>) -> Self {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Self(None);
        };
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(hidden) => SocketAddr::from_abstract_name(hidden),
            None => SocketAddr::from_pathname(name),
        };
        // A manager that does not read must not hold the agent up.
        let socket = UnixDatagram::unbound().and_then(|socket| {
            socket.set_nonblocking(true)?;
            Ok((socket, address?))
        });
        if let Err(error) = &socket {
            warn!("the service manager is told nothing: {error}");
        }
        Self(socket.ok())
    }

    fn say(&self, text: &str) {
        if let Some((socket, address)) = &self.0
            // The next turn says it again.
            && let Err(error) = socket.send_to_addr(text.as_bytes(), address)
        {
            tracing::debug!(%error, "tell the service manager");
        }
    }

    /// Tells everything until `shown` or `course` ends: ready once at the start, and at the first turn after a
    /// reload; each turn with its line and, as the manager's watchdog wants it, that it was completed.
    pub(crate) async fn tell(
        self,
        mut shown: watch::Receiver<Option<Arc<Shown>>>,
        mut course: watch::Receiver<Course>,
    ) {
        if self.0.is_none() {
            return;
        }
        self.say("READY=1");
        let mut before = Course::Running;
        loop {
            tokio::select! {
                biased;
                changed = course.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    before = *course.borrow_and_update();
                    self.say(&said_of(before));
                }
                changed = shown.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let line = shown.borrow_and_update().as_ref().map(|shown| shown.line.clone());
                    self.say(&said_of_turn(before, &line.unwrap_or_default()));
                    if before == Course::Reloading {
                        before = Course::Running;
                    }
                }
            }
        }
    }
}

fn said_of(course: Course) -> String {
    match course {
        Course::Running => "READY=1".to_owned(),
        Course::Reloading => {
            let now = clock_gettime(ClockId::Monotonic);
            let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
            format!("RELOADING=1\nMONOTONIC_USEC={micros}")
        }
        Course::Stopping => "STOPPING=1".to_owned(),
    }
}

/// A stop takes as long as PostgreSQL's last checkpoint: as long as turns complete, half a minute more.
fn said_of_turn(course: Course, line: &str) -> String {
    let line = line.replace('\n', " ");
    let also = match course {
        Course::Running => "",
        Course::Reloading => "\nREADY=1",
        Course::Stopping => "\nEXTEND_TIMEOUT_USEC=30000000",
    };
    format!("WATCHDOG=1\nSTATUS={line}{also}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 512];
        let count = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    #[test]
    fn both_kinds_of_addresses_are_reached() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let named = UnixDatagram::bind(&path).unwrap();
        Notify::to(Some(path.as_os_str())).say("READY=1");
        assert_eq!(read(&named), "READY=1");
        let name = format!("pgherd-notify-{}", std::process::id());
        let hidden = SocketAddr::from_abstract_name(&name).unwrap();
        let hidden = UnixDatagram::bind_addr(&hidden).unwrap();
        Notify::to(Some(OsStr::new(&format!("@{name}")))).say("STOPPING=1");
        assert_eq!(read(&hidden), "STOPPING=1");
        // Nobody asked, and nobody there.
        Notify::to(None).say("READY=1");
        drop(named);
        Notify::to(Some(path.as_os_str())).say("READY=1");
    }

    #[tokio::test]
    async fn a_reload_is_over_with_the_turn_that_follows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let (course, courses) = watch::channel(Course::Running);
        let (turn, shown) = watch::channel(None);
        let notify = Notify::to(Some(path.as_os_str()));
        let telling = tokio::spawn(notify.tell(shown, courses));
        let hear = || async {
            let socket = socket.try_clone().unwrap();
            let heard = tokio::task::spawn_blocking(move || read(&socket));
            tokio::time::timeout(std::time::Duration::from_secs(10), heard)
                .await
                .unwrap()
                .unwrap()
        };
        assert_eq!(hear().await, "READY=1");
        turn.send_replace(None);
        assert_eq!(hear().await, "WATCHDOG=1\nSTATUS=");
        course.send_replace(Course::Reloading);
        let told = hear().await;
        assert!(told.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{told}");
        turn.send_replace(None);
        assert_eq!(hear().await, "WATCHDOG=1\nSTATUS=\nREADY=1");
        course.send_replace(Course::Stopping);
        assert_eq!(hear().await, "STOPPING=1");
        turn.send_replace(None);
        assert!(hear().await.ends_with("EXTEND_TIMEOUT_USEC=30000000"));
        drop(turn);
        telling.await.unwrap();
    }
}
