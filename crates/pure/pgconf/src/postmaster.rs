//! The traces a postmaster leaves: postmaster.pid, postmaster.opts, and its line in /proc (contract §1.6).

/// The state that a postmaster writes to the last line of its pid file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerStatus {
    /// Starting up; takes no connections.
    Starting,
    /// Stopping.
    Stopping,
    /// Takes connections.
    Ready,
    /// A standby that takes none, because `hot_standby` is off.
    Standby,
}

/// postmaster.pid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PidFile {
    /// Process id. Files of single-user servers, which hold a negative number, are not read.
    pub pid: i32,
    /// The data directory as the postmaster knows it.
    pub data_dir: String,
    /// When it started: seconds since the epoch.
    pub started: i64,
    /// The port it listens on, once known.
    pub port: Option<u16>,
    /// The directory of its unix socket, when it has one.
    pub socket_dir: Option<String>,
    /// Its state, once known.
    pub status: Option<ServerStatus>,
}

impl PidFile {
    /// Reads the file. `None` when it is not complete yet or not a postmaster's.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim);
        let pid = lines.next()?.parse().ok().filter(|pid| *pid > 1)?;
        let data_dir = lines.next()?.to_owned();
        let started = lines.next()?.parse().ok()?;
        let port = lines.next().and_then(|port| port.parse().ok());
        let socket_dir = lines
            .next()
            .filter(|dir| !dir.is_empty())
            .map(str::to_owned);
        let status = match lines.nth(2) {
            Some("starting") => Some(ServerStatus::Starting),
            Some("stopping") => Some(ServerStatus::Stopping),
            Some("ready") => Some(ServerStatus::Ready),
            Some("standby") => Some(ServerStatus::Standby),
            Some(_) | None => None,
        };
        Some(Self {
            pid,
            data_dir,
            started,
            port,
            socket_dir,
            status,
        })
    }
}

/// A line of `/proc/PID/stat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessStat {
    /// `Z`: has exited and waits for its parent; `X`: is gone.
    pub state: char,
    /// Its parent.
    pub parent: i32,
    /// Clock ticks from boot to its start.
    pub started_ticks: u64,
}

impl ProcessStat {
    /// Reads the line. The name in it may hold anything, so fields are counted behind its last bracket.
    pub fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let started_ticks = fields.nth(17)?.parse().ok()?;
        Some(Self {
            state,
            parent,
            started_ticks,
        })
    }

    /// Whether the process still runs.
    pub const fn runs(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

/// The boot time in `/proc/stat`, seconds since the epoch.
pub fn boot_seconds(text: &str) -> Option<i64> {
    text.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

/// The arguments in postmaster.opts, the program first: a bare program, then words in double quotes.
pub fn parse_options_file(text: &str) -> Vec<String> {
    let line = text.lines().next().unwrap_or("");
    let (program, rest) = line.split_once(" \"").unwrap_or((line, ""));
    let mut words = vec![program.to_owned()];
    if let Some(rest) = rest.strip_suffix('"') {
        words.extend(rest.split("\" \"").map(str::to_owned));
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_read_as_far_as_it_is_written() {
        let text =
            "3018\n/data\n1795486575\n5999\n/tmp\nlocalhost\n 10045859    131092\nready   \n";
        let file = PidFile::parse(text).unwrap();
        assert_eq!((file.pid, file.started), (3018, 1_795_486_575));
        assert_eq!(file.port, Some(5999));
        assert_eq!(file.socket_dir.as_deref(), Some("/tmp"));
        assert_eq!(file.status, Some(ServerStatus::Ready));
        let early = PidFile::parse("3018\n/data\n1795486575\n").unwrap();
        assert_eq!((early.port, early.status), (None, None));
        assert_eq!(PidFile::parse("3018\n"), None);
        assert_eq!(
            PidFile::parse("-3018\n/data\n1795486575\n"),
            None,
            "a single-user server"
        );
    }

    #[test]
    fn a_process_with_a_strange_name_is_read() {
        let text = "42 (post) gres)) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2";
        let stat = ProcessStat::parse(text).unwrap();
        assert_eq!((stat.parent, stat.started_ticks), (1, 987_654));
        assert!(stat.runs());
        assert_eq!(
            boot_seconds("cpu 1 2\nbtime 1795000000\n"),
            Some(1_795_000_000)
        );
    }

    #[test]
    fn the_last_options_are_read() {
        let text = "/usr/bin/postgres \"-D\" \"/data dir\" \"--port=5999\"\n";
        assert_eq!(
            parse_options_file(text),
            ["/usr/bin/postgres", "-D", "/data dir", "--port=5999"]
        );
        assert_eq!(
            parse_options_file("/usr/bin/postgres"),
            ["/usr/bin/postgres"]
        );
    }
}
