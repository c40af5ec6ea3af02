//! What happens to a random universe: its shape, its faults, and the peace that follows.

use std::collections::BTreeSet;

use pgherd_domain::MemberName;

use super::lasting::{self, Lasting};
use super::operator;
use crate::dice::Dice;

/// How a universe begins.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) members: usize,
    pub(super) synchronous: bool,
    /// Commits are to be acknowledged in two zones, in which the members stand by turns.
    pub(super) zones: bool,
    /// `watchdog.mode` of all members, when their hosts have one.
    pub(super) watchdog: Option<&'static str>,
    /// The `cluster` command.
    pub(super) line: String,
}

/// Throws the shape of a universe.
pub(super) fn shape(dice: &mut Dice) -> Shape {
    let members = *dice.pick(&[2, 3, 3, 3, 4, 5]).unwrap_or(&3);
    let mode = *dice
        .pick(&["off", "quorum", "true", "true", "quorum"])
        .unwrap_or(&"off");
    let names = ["a*", "b", "c", "d", "e"];
    let mut words: Vec<String> = vec!["cluster".to_owned()];
    words.extend(names.iter().take(members).map(|name| (*name).to_owned()));
    let timing = *dice
        .pick(&[
            "ttl=30 loop_wait=10 retry_timeout=10",
            "ttl=20 loop_wait=5 retry_timeout=5",
            "ttl=20 loop_wait=2 retry_timeout=3",
        ])
        .unwrap_or(&"ttl=30");
    words.push(timing.to_owned());
    if mode != "off" {
        words.push(format!("synchronous_mode={mode}"));
        if dice.chance(300) {
            words.push("synchronous_mode_strict=true".to_owned());
        }
        if members > 3 && dice.chance(300) {
            words.push("synchronous_node_count=2".to_owned());
        }
    }
    if dice.chance(500) {
        words.push("check_timeline=true".to_owned());
    }
    if dice.chance(200) {
        words.push("primary_start_timeout=0".to_owned());
    }
    // Dice of its own: what else a seed throws stays the same.
    if dice.of("failsafe").chance(500) {
        words.push("failsafe_mode=true".to_owned());
    }
    if mode != "off" && dice.of("stop timeout").chance(200) {
        words.push("primary_stop_timeout=1".to_owned());
    }
    let mut of_zones = dice.of("zones");
    let zones = mode != "off" && of_zones.chance(300);
    if zones {
        let after = of_zones.pick(&[0, 5, 40]).copied().unwrap_or_default();
        let policy = format!("{{\"at_least\":2,\"degrade_after\":{after}}}");
        words.push(format!("pgherd={{\"synchronous_zones\":{policy}}}"));
    }
    let mut of_watchdogs = dice.of("watchdog");
    let watchdog = of_watchdogs
        .pick(&[None, None, Some("automatic"), Some("required")])
        .copied();
    Shape {
        members,
        synchronous: mode != "off",
        zones,
        watchdog: watchdog.flatten(),
        line: words.join(" "),
    }
}

/// What is wrong at the moment.
#[derive(Debug)]
pub(super) struct Weather {
    members: Vec<MemberName>,
    synchronous: bool,
    /// The hosts have watchdogs: then fences may freeze, too.
    watched: bool,
    without_agent: BTreeSet<MemberName>,
    without_power: BTreeSet<MemberName>,
    frozen: BTreeSet<MemberName>,
    fences_frozen: BTreeSet<MemberName>,
    hung: BTreeSet<MemberName>,
    stalled: BTreeSet<MemberName>,
    lasting: Lasting,
    dcs_is_away: bool,
    paused: bool,
}

impl Weather {
    pub(super) fn new(members: Vec<MemberName>, synchronous: bool, watched: bool) -> Self {
        Self {
            members,
            synchronous,
            watched,
            without_agent: BTreeSet::new(),
            without_power: BTreeSet::new(),
            frozen: BTreeSet::new(),
            fences_frozen: BTreeSet::new(),
            hung: BTreeSet::new(),
            stalled: BTreeSet::new(),
            lasting: Lasting::default(),
            dcs_is_away: false,
            paused: false,
        }
    }

    fn anybody(&self, dice: &mut Dice) -> String {
        dice.pick(&self.members)
            .map_or_else(String::new, ToString::to_string)
    }

    /// The next fault, or the end of one.
    pub(super) fn fault(&mut self, dice: &mut Dice) -> String {
        let who = self.anybody(dice);
        if self.paused && dice.chance(250) {
            self.paused = false;
            return "resume".to_owned();
        }
        match dice.below(125) {
            0..12 => self.network(dice, &who),
            12..22 => "heal".to_owned(),
            22..32 => self.dcs(dice, &who),
            32..42 => format!("kill postgres {who}"),
            42..52 => self.power(&who),
            52..60 => self.agent(&who),
            60..66 => self.freeze(&who),
            66..70 => self.hang(&who),
            70..75 => self.stall(&who),
            75..79 => format!("write {}kB at {who}", 64 << dice.below(6)),
            79..81 => format!("fail {} starts of {who}", dice.below(6)),
            81..83 => Self::latency(dice),
            83..85 => format!(
                "jump {who} by {}",
                [-600, -30, 30, 600][Self::of_four(dice)]
            ),
            85..100 => self.operator(dice, &who),
            100..107 => self.crash(dice, &who),
            _ => self.lasting.next(dice, &who),
        }
    }

    fn of_four(dice: &mut Dice) -> usize {
        usize::try_from(dice.below(4)).unwrap_or(0)
    }

    fn network(&self, dice: &mut Dice, who: &str) -> String {
        let others: Vec<String> = self
            .members
            .iter()
            .map(ToString::to_string)
            .filter(|name| name != who)
            .collect();
        let other = dice.pick(&others).cloned().unwrap_or_default();
        match dice.below(8) {
            0 => format!("cut {who} to dcs"),
            1 => format!("cut dcs to {who}"),
            2 => format!("cut {who} to {other}"),
            3 => format!("cut {who} from {other}"),
            4 | 5 => format!("cut {who} from dcs"),
            6 => format!("cut {who} from {}", others.join(",")),
            _ => format!("cut {who} from dcs,clients,{}", others.join(",")),
        }
    }

    fn dcs(&mut self, dice: &mut Dice, who: &str) -> String {
        if self.dcs_is_away {
            self.dcs_is_away = false;
            return "dcs up".to_owned();
        }
        match dice.below(13) {
            0..3 => format!("dcs revoke {who}"),
            3 => "dcs delete leader".to_owned(),
            4 => "dcs delete history".to_owned(),
            5..8 => {
                self.dcs_is_away = true;
                "dcs down".to_owned()
            }
            8..11 => format!("dcs slow {}ms", [0, 500, 2000, 6000][Self::of_four(dice)]),
            _ => {
                self.dcs_is_away = true;
                "dcs silent".to_owned()
            }
        }
    }

    fn name(&self, who: &str) -> Option<MemberName> {
        self.members
            .iter()
            .find(|name| name.as_str() == who)
            .cloned()
    }

    /// Puts a member into a set or takes it out. `true`: it is in it now.
    fn toggle(set: &mut BTreeSet<MemberName>, name: Option<MemberName>) -> bool {
        let Some(name) = name else { return false };
        if set.remove(&name) {
            return false;
        }
        set.insert(name)
    }

    fn power(&mut self, who: &str) -> String {
        let name = self.name(who);
        if let Some(name) = &name {
            self.frozen.remove(name);
            self.fences_frozen.remove(name);
            self.hung.remove(name);
            self.without_agent.remove(name);
        }
        if Self::toggle(&mut self.without_power, name) {
            format!("kill host {who}")
        } else {
            format!("start host {who}")
        }
    }

    fn agent(&mut self, who: &str) -> String {
        let name = self.name(who);
        if name
            .as_ref()
            .is_some_and(|name| self.without_power.contains(name))
        {
            return self.power(who);
        }
        if let Some(name) = &name {
            self.frozen.remove(name);
        }
        if Self::toggle(&mut self.without_agent, name) {
            format!("kill agent {who}")
        } else {
            format!("start agent {who}")
        }
    }

    fn freeze(&mut self, who: &str) -> String {
        let name = self.name(who);
        let gone = |set: &BTreeSet<MemberName>| name.as_ref().is_some_and(|it| set.contains(it));
        if gone(&self.without_power) || gone(&self.without_agent) {
            return self.agent(who);
        }
        // With a watchdog the fence freezes before the agent, and thaws before it.
        if self.watched && gone(&self.frozen) == gone(&self.fences_frozen) {
            let freezes = Self::toggle(&mut self.fences_frozen, name);
            let what = if freezes { "freeze" } else { "thaw" };
            return format!("{what} fence {who}");
        }
        if Self::toggle(&mut self.frozen, name) {
            format!("freeze agent {who}")
        } else {
            format!("thaw agent {who}")
        }
    }

    fn hang(&mut self, who: &str) -> String {
        let name = self.name(who);
        if Self::toggle(&mut self.hung, name) {
            format!("hang postgres {who}")
        } else {
            format!("unhang postgres {who}")
        }
    }

    fn stall(&mut self, who: &str) -> String {
        let name = self.name(who);
        if Self::toggle(&mut self.stalled, name) {
            format!("stall {who}")
        } else {
            format!("unstall {who}")
        }
    }

    fn latency(dice: &mut Dice) -> String {
        let most = dice.pick(&[4, 20, 200, 900, 3000]).unwrap_or(&4);
        format!("latency 1ms {most}ms")
    }

    fn operator(&mut self, dice: &mut Dice, who: &str) -> String {
        let other = self.anybody(dice);
        match dice.below(20) {
            0 => {
                self.paused = true;
                "pause".to_owned()
            }
            1 => {
                self.name(who).map(|name| self.without_agent.insert(name));
                format!("stop agent {who}")
            }
            2 => {
                self.synchronous = true;
                "config synchronous_mode=true".to_owned()
            }
            _ => operator::order(dice, who, &other, self.synchronous)
                .unwrap_or_else(|| format!("write 64kB at {who}")),
        }
    }

    /// Somewhere between two writes.
    fn crash(&mut self, dice: &mut Dice, who: &str) -> String {
        self.name(who).map(|name| self.without_agent.insert(name));
        let when = if dice.chance(500) { "before" } else { "after" };
        format!("crash agent {who} {when} write {}", 1 + dice.below(6))
    }

    /// Ends everything that is wrong.
    pub(super) fn peace(&self) -> Vec<String> {
        let mut lines = vec![
            "heal".to_owned(),
            "dcs up".to_owned(),
            "dcs slow 0ms".to_owned(),
            "latency 1ms 4ms".to_owned(),
            "resume".to_owned(),
        ];
        for name in &self.members {
            lines.push(format!("fail 0 starts of {name}"));
            lines.extend(lasting::ends(name.as_str()));
            lines.push(format!("spare agent {name}"));
            lines.push(format!("unhang postgres {name}"));
            lines.push(format!("unstall {name}"));
            lines.push(format!("thaw fence {name}"));
            lines.push(format!("thaw agent {name}"));
            lines.push(format!("revive {name}"));
            if self.without_agent.contains(name) {
                // It may be stopping yet.
                lines.push(format!("start agent {name}"));
            }
        }
        // Should an agent that had not heard of the end of a pause put its configuration back.
        lines.push("wait 20s".to_owned());
        lines.push("resume".to_owned());
        lines
    }
}
