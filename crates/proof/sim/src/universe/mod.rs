//! Random universes: faults for a while, then peace, and what must hold.
//!
//! A universe is a scenario that dice write: every fault is a line of the scenario language, so what a
//! seed found can be kept as a file.

mod faults;
mod lasting;
mod operator;

use std::fmt::Write as _;
use std::time::Duration;

use pgherd_domain::MemberName;

use crate::dice::{Dice, Span};
use crate::invariants::{self, Violation};
use crate::journal;
use crate::planted::Planted;
use crate::scenario::Stage;
use crate::world::World;

use faults::Weather;

/// The names that members get.
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// The pauses from one fault to the next: slow, brisk and hasty universes.
const PAUSES: [Span; 3] = [
    Span::millis(200, 40_000),
    Span::millis(200, 15_000),
    Span::millis(50, 4_000),
];

/// How long a cluster may take to heal, beside some ttl: copies and crash recoveries take their time.
const HEALING: Duration = Duration::from_secs(240);
const HEALING_TTLS: u32 = 4;

/// Whether a universe has a WAL archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archive {
    /// It has one, so that no number of a timeline is given twice.
    Kept,
    /// It has none: two servers may give the same number to different timelines.
    None,
}

/// What a universe is like beside its dice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// How long the faults go on.
    pub span: Duration,
    /// Whether there is a WAL archive.
    pub archive: Archive,
    /// The bug that all agents have.
    pub planted: Option<Planted>,
}

impl Kind {
    /// Faults for so long, with an archive and without a planted bug.
    pub const fn lasting(span: Duration) -> Self {
        Self {
            span,
            archive: Archive::Kept,
            planted: None,
        }
    }
}

/// What came of one universe.
#[derive(Debug, Clone)]
pub struct Report {
    /// Everything that happened.
    pub transcript: String,
    /// The commands that make this universe, as a scenario.
    pub commands: String,
    /// What broke.
    pub violations: Vec<Violation>,
    /// How many commits were acknowledged.
    pub acknowledged: usize,
    /// How many promotions there were.
    pub promotions: usize,
    /// How much virtual time passed.
    pub lasted: Duration,
}

/// Runs the universe of `seed`: faults, then peace. It ends when something breaks.
///
/// # Errors
/// When it can not begin: the cluster does not come up, or there is no runtime.
pub fn run(seed: u64, kind: Kind) -> Result<Report, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(Universe::new(seed).run(kind))
}

/// One universe on its way.
struct Universe {
    dice: Dice,
    stage: Stage,
    commands: String,
}

impl Universe {
    fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed).of("universe"),
            stage: Stage::new(seed),
            commands: format!("seed {seed}\n"),
        }
    }

    async fn run(mut self, kind: Kind) -> Result<Report, String> {
        if kind.archive == Archive::Kept {
            self.perform("archive").await?;
        }
        if let Some(bug) = kind.planted {
            self.perform(&format!("plant {}", bug.name())).await?;
        }
        let shape = faults::shape(&mut self.dice);
        let members: Vec<MemberName> = NAMES
            .iter()
            .take(shape.members)
            .filter_map(|name| MemberName::new(name).ok())
            .collect();
        if let Some(mode) = shape.watchdog {
            for member in &members {
                self.perform(&format!("watchdog {member} {mode}")).await?;
            }
        }
        for (member, zone) in members.iter().zip(["x", "y"].into_iter().cycle()) {
            if shape.zones {
                self.perform(&format!("tags {member} zone={zone}")).await?;
            }
        }
        self.perform(&shape.line).await?;
        let world = self.world()?;
        for member in &members {
            // Real clocks are off by some millionths.
            let ppm = i64::try_from(self.dice.below(41)).unwrap_or(0) - 20;
            self.perform(&format!("drift {member} {ppm}")).await?;
        }
        let pauses = *self.dice.pick(&PAUSES).unwrap_or(&PAUSES[0]);
        let mut weather = Weather::new(members, shape.synchronous, shape.watchdog.is_some());
        let mut of_wal = self.dice.of("wal");
        let end = world.now() + kind.span;
        while world.now() < end && world.violations().is_empty() {
            let pause = self.dice.within(pauses);
            self.perform(&format!("wait {}ms", pause.as_millis()))
                .await?;
            let line = weather.fault(&mut self.dice);
            self.perform(&line).await?;
            if of_wal.chance(20)
                && let Some(who) = of_wal.pick(&NAMES[..shape.members])
            {
                self.perform(&format!("remove wal of {who}")).await?;
            }
        }
        if !world.violations().is_empty() {
            return Ok(self.report(&world));
        }
        for line in weather.peace() {
            self.perform(&line).await?;
        }
        let ttl = self.stage.ttl();
        self.heal(&world, HEALING + ttl * HEALING_TTLS).await;
        world.change(invariants::at_the_end);
        Ok(self.report(&world))
    }

    fn world(&self) -> Result<World, String> {
        let herd = self.stage.herd.as_ref();
        herd.map(|herd| herd.world.clone())
            .ok_or_else(|| "there is no cluster".to_owned())
    }

    async fn perform(&mut self, line: &str) -> Result<(), String> {
        // Writing to a string can not fail.
        writeln!(self.commands, "{line}").ok();
        self.stage
            .line(line)
            .await
            .map_err(|why| format!("{line}: {why}"))
    }

    /// Waits until a leader serves and everybody else streams.
    async fn heal(&mut self, world: &World, limit: Duration) {
        let since = world.now();
        writeln!(self.commands, "until healed within {}s", limit.as_secs()).ok();
        let healed =
            world.until(|state| invariants::not_healed(state, since).is_none().then_some(()));
        if tokio::time::timeout(limit, healed).await.is_ok() {
            return;
        }
        world.change(|state| {
            if let Some((id, why)) = invariants::not_healed(state, since) {
                let why = format!("{limit:?} after the faults ended: {why}");
                invariants::never_healed(state, id, why);
            }
        });
    }

    fn report(self, world: &World) -> Report {
        world.look(|state| Report {
            transcript: journal::render(&state.journal.entries, self.stage.zero, 3),
            commands: self.commands,
            violations: state.violations.clone(),
            lasted: state.now,
            acknowledged: state.ledger.acknowledged.len(),
            promotions: state
                .journal
                .entries
                .iter()
                .filter(|entry| entry.what.starts_with("postgres: promoted"))
                .count(),
        })
    }
}
