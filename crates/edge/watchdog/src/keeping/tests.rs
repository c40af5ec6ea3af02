//! A device that writes down what it is told, and answers as a test wants it to.

use std::io;
use std::sync::Mutex;

use pgherd_domain::WallTime;

use super::*;

/// What the device does, and was told.
#[derive(Debug)]
struct Fake {
    told: Vec<String>,
    now: u64,
    /// The only timeout that it can have.
    fixed: Option<u64>,
    missing: bool,
    open_fails: bool,
    alive_fails: u32,
    magic_close: bool,
    nowayout: bool,
}

#[derive(Debug, Clone)]
struct Shared(Arc<Mutex<Fake>>);

impl Shared {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Fake {
            told: Vec::new(),
            now: 100,
            fixed: None,
            missing: false,
            open_fails: false,
            alive_fails: 0,
            magic_close: true,
            nowayout: false,
        })))
    }

    fn set(&self, change: impl FnOnce(&mut Fake)) {
        change(&mut self.0.lock().unwrap());
    }

    fn tell(&self, what: impl Into<String>) {
        self.0.lock().unwrap().told.push(what.into());
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().told)
    }
}

#[async_trait::async_trait]
impl Clock for Shared {
    fn now(&self) -> Moment {
        at(self.0.lock().unwrap().now)
    }

    fn wall(&self) -> WallTime {
        WallTime::default()
    }

    async fn sleep_until(&self, _: Moment) {}
}

impl Driver for Shared {
    fn check(&self, _: &str) -> io::Result<()> {
        let missing = self.0.lock().unwrap().missing;
        if missing {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(())
    }

    fn open(&self, path: &str, _: bool) -> io::Result<Box<dyn Device>> {
        if self.0.lock().unwrap().open_fails {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        self.tell(format!("open {path}"));
        Ok(Box::new(Opened(self.clone())))
    }
}

#[derive(Debug)]
struct Opened(Shared);

impl Device for Opened {
    fn support(&self) -> io::Result<Support> {
        Ok(Support {
            identity: "fake".to_owned(),
            sets_timeout: true,
            magic_close: self.0.0.lock().unwrap().magic_close,
        })
    }

    fn set_timeout(&mut self, timeout: Duration) -> io::Result<Duration> {
        self.0.tell(format!("timeout {}", timeout.as_secs()));
        let fixed = self.0.0.lock().unwrap().fixed;
        Ok(fixed.map_or(timeout, Duration::from_secs))
    }

    fn timeout(&self) -> io::Result<Duration> {
        Ok(Duration::from_secs(60))
    }

    fn keep_alive(&mut self) -> io::Result<()> {
        let mut fake = self.0.0.lock().unwrap();
        if fake.alive_fails > 0 {
            fake.alive_fails -= 1;
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        fake.told.push("alive".to_owned());
        Ok(())
    }

    fn disable(&mut self) -> io::Result<()> {
        let nowayout = self.0.0.lock().unwrap().nowayout;
        Err(if nowayout {
            io::ErrorKind::ResourceBusy.into()
        } else {
            io::ErrorKind::Unsupported.into()
        })
    }

    fn say_farewell(&mut self) -> io::Result<()> {
        self.0.tell("V");
        Ok(())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.tell("close");
    }
}

fn at(seconds: u64) -> Moment {
    Moment::from_millis(seconds * 1000)
}

struct Bench {
    fake: Shared,
    keeping: Keeping,
    plan: WatchdogPlan,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(mode: WatchdogMode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fake = Shared::new();
        Self {
            keeping: keeping(&fake, &folder),
            fake,
            plan: WatchdogPlan {
                mode,
                device: "dev".to_owned(),
                testing: false,
                timeout: Duration::from_secs(25),
                loop_wait: Duration::from_secs(10),
            },
            folder,
        }
    }

    fn want(&mut self, want: WatchdogWant) -> WatchdogSeen {
        let plan = self.plan.clone();
        self.keeping.obey(&WatchdogOrder { plan, want })
    }

    fn alive(&mut self, until: u64) -> WatchdogSeen {
        let good_until = at(until);
        self.want(WatchdogWant::Alive { good_until })
    }

    fn off(&mut self) -> WatchdogSeen {
        self.want(WatchdogWant::Off)
    }
}

fn keeping(fake: &Shared, folder: &tempfile::TempDir) -> Keeping {
    let trace = Trace::beside(&folder.path().join("main"));
    Keeping::new(Box::new(fake.clone()), Arc::new(fake.clone()), trace)
}

fn counting(resets_at: u64, timeout: u64) -> WatchdogSeen {
    WatchdogSeen::Counting {
        resets_at: at(resets_at),
        timeout: Duration::from_secs(timeout),
    }
}

#[test]
fn a_replica_never_opens_it_and_a_stop_closes_it_with_a_word() {
    let mut bench = Bench::new(WatchdogMode::Automatic);
    assert_eq!(bench.off(), WatchdogSeen::Ready);
    assert_eq!(bench.want(WatchdogWant::Leave), WatchdogSeen::Ready);
    assert_eq!(bench.fake.told(), [""; 0]);
    assert_eq!(bench.alive(130), counting(125, 25));
    assert_eq!(bench.fake.told(), ["open dev", "timeout 25", "alive"]);
    bench.fake.set(|fake| fake.now = 105);
    assert_eq!(bench.alive(135), counting(130, 25));
    assert_eq!(bench.fake.told(), ["alive"]);
    assert_eq!(bench.want(WatchdogWant::Leave), counting(130, 25));
    assert_eq!(bench.fake.told(), [""; 0], "no lease, no keepalive");
    assert_eq!(bench.off(), WatchdogSeen::Ready);
    assert_eq!(bench.fake.told(), ["V", "close"]);
}

#[test]
fn a_proof_that_comes_late_lets_it_count_for_what_is_left_and_one_too_late_not_at_all() {
    let mut bench = Bench::new(WatchdogMode::Required);
    bench.alive(130);
    bench.fake.told();
    bench.fake.set(|fake| fake.now = 118);
    assert_eq!(bench.alive(135), counting(135, 17));
    assert_eq!(bench.fake.told(), ["timeout 17", "alive"]);
    bench.fake.set(|fake| fake.now = 200);
    assert_eq!(bench.alive(160), counting(135, 17), "frozen meanwhile");
    assert_eq!(bench.fake.told(), [""; 0]);
    assert_eq!(bench.alive(230), counting(225, 25));
    assert_eq!(bench.fake.told(), ["timeout 25", "alive"]);
}

#[test]
fn a_new_timeout_takes_effect_with_the_next_keepalive() {
    let mut bench = Bench::new(WatchdogMode::Automatic);
    bench.alive(130);
    bench.fake.told();
    bench.plan.timeout = Duration::from_secs(20);
    assert_eq!(bench.want(WatchdogWant::Leave), counting(125, 25));
    assert_eq!(bench.alive(131), counting(120, 20));
    assert_eq!(bench.fake.told(), ["timeout 20", "alive"]);
}

#[test]
fn a_device_that_counts_too_long_is_refused_only_when_it_is_required() {
    let mut required = Bench::new(WatchdogMode::Required);
    required.fake.set(|fake| fake.fixed = Some(60));
    let seen = required.alive(130);
    assert!(
        seen.trouble().unwrap().contains("60s at the earliest"),
        "{seen:?}"
    );
    assert_eq!(
        required.fake.told(),
        ["open dev", "timeout 25", "V", "close"]
    );
    required.alive(131);
    assert_eq!(required.fake.told(), [""; 0], "not tried again at once");
    required
        .fake
        .set(|fake| (fake.fixed, fake.now) = (None, 131));
    assert_eq!(required.off(), WatchdogSeen::Ready);
    assert_eq!(required.alive(161), counting(156, 25));

    let mut automatic = Bench::new(WatchdogMode::Automatic);
    automatic.fake.set(|fake| fake.fixed = Some(60));
    assert_eq!(automatic.alive(130), counting(160, 60));
    let mut short = Bench::new(WatchdogMode::Automatic);
    short.fake.set(|fake| fake.fixed = Some(5));
    assert!(
        short
            .alive(130)
            .trouble()
            .unwrap()
            .contains("shorter than loop_wait")
    );
    assert_eq!(short.fake.told(), ["open dev", "timeout 25", "V", "close"]);
}

#[test]
fn what_is_not_there_is_said_before_it_is_needed() {
    let mut bench = Bench::new(WatchdogMode::Required);
    bench.fake.set(|fake| fake.missing = true);
    assert!(bench.off().trouble().unwrap().starts_with("dev: "));
    bench.fake.set(|fake| fake.missing = false);
    assert_eq!(bench.off(), WatchdogSeen::Ready);
    bench.fake.set(|fake| fake.open_fails = true);
    assert!(
        bench
            .alive(130)
            .trouble()
            .unwrap()
            .starts_with("dev: open it: ")
    );
    bench.plan.timeout = Duration::from_secs(9);
    assert!(bench.off().trouble().unwrap().contains("safety_margin"));
    bench.plan.mode = WatchdogMode::Off;
    assert_eq!(bench.off(), WatchdogSeen::Off);
    assert_eq!(bench.fake.told(), [""; 0]);
}

#[test]
fn one_that_breaks_is_opened_anew_and_else_is_known_to_reset_the_host() {
    let mut bench = Bench::new(WatchdogMode::Required);
    bench.alive(130);
    bench.fake.told();
    bench
        .fake
        .set(|fake| (fake.alive_fails, fake.now) = (1, 105));
    assert_eq!(bench.alive(135), counting(130, 25));
    assert_eq!(
        bench.fake.told(),
        ["close", "open dev", "timeout 25", "alive"]
    );
    bench
        .fake
        .set(|fake| (fake.alive_fails, fake.now) = (2, 110));
    assert_eq!(bench.alive(140), counting(130, 25), "it still counts");
    bench.fake.told();
    // PostgreSQL has been stopped in time.
    assert!(bench.off().trouble().is_some(), "not tried again at once");
    assert_eq!(bench.fake.told(), ["open dev", "V", "close"]);
}

#[test]
fn the_next_agent_stops_or_keeps_what_a_killed_one_left_counting() {
    for primary in [false, true] {
        let mut bench = Bench::new(WatchdogMode::Automatic);
        bench.alive(130);
        let killed = std::mem::replace(&mut bench.keeping, keeping(&bench.fake, &bench.folder));
        drop(killed);
        bench.keeping = keeping(&bench.fake, &bench.folder);
        bench.fake.told();
        assert_eq!(bench.want(WatchdogWant::Leave), WatchdogSeen::Ready);
        assert_eq!(bench.fake.told(), [""; 0], "no lease is proven yet");
        if primary {
            bench.fake.set(|fake| fake.now = 103);
            assert_eq!(bench.alive(133), counting(128, 25));
            assert_eq!(bench.fake.told(), ["open dev", "timeout 25", "alive"]);
        }
        bench.off();
        let stopped = bench.fake.told();
        assert!(
            stopped.ends_with(&["V".to_owned(), "close".to_owned()]),
            "{stopped:?}"
        );
        bench.keeping = keeping(&bench.fake, &bench.folder);
        bench.off();
        assert_eq!(bench.fake.told(), [""; 0], "nothing is left to stop");
    }
}

#[test]
fn one_that_is_busy_when_it_is_to_be_stopped_is_tried_again() {
    let mut bench = Bench::new(WatchdogMode::Automatic);
    bench.alive(130);
    bench.keeping = keeping(&bench.fake, &bench.folder);
    bench.fake.set(|fake| fake.open_fails = true);
    bench.fake.told();
    bench.off();
    assert_eq!(bench.fake.told(), [""; 0]);
    bench.fake.set(|fake| fake.open_fails = false);
    let (plan, want) = (bench.plan.clone(), WatchdogWant::Off);
    bench.keeping.look(&WatchdogOrder { plan, want });
    assert_eq!(bench.fake.told(), ["open dev", "V", "close"]);
}

#[test]
fn nowayout_and_a_missing_magic_close_are_faults_of_a_stop() {
    for (magic_close, nowayout, fails) in [
        (true, false, false),
        (true, true, true),
        (false, false, true),
    ] {
        let fake = Shared::new();
        fake.set(|fake| (fake.magic_close, fake.nowayout) = (magic_close, nowayout));
        let device = fake.open("dev", false).unwrap();
        let mut open = Open::to_be_stopped(device, "dev".to_owned(), false);
        assert_eq!(open.stop().is_err(), fails, "{magic_close} {nowayout}");
    }
}
