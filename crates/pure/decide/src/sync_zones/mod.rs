//! Zones (`pgherd.synchronous_zones`): whom commits wait for such that each of them is in so many zones, and what
//! becomes of them while too few zones have a standby. Ours: Patroni knows nothing of it, and ignores the key.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::documents::SyncDoc;
use pgherd_domain::{LiveSeen, MemberName, Moment, Reason, SyncMode, ZonePolicy, ZoneShortage};

use crate::quorum::{Names, Waits};
use crate::sync_names::{holds, waits_of};
use crate::turn::Turn;

/// Too few zones have a standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// Since when.
    since: Moment,
    /// Commits waited for enough zones when it began. Where they did not, as with a policy that is new and for
    /// an agent that comes back, nothing that goes on is brought to a stop.
    waited: bool,
    /// What the operator is told.
    pub told: ZoneShortage,
}

/// Where standbys stand, seen from the leader.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Places {
    /// How many stand in the leader's own zone, or in none.
    here: usize,
    /// How many stand in each other zone.
    there: BTreeMap<String, usize>,
    /// How many have no member key: nobody knows.
    unknown: usize,
}

impl Places {
    /// How many zones beside the leader's have at least one of them, for certain.
    pub(crate) fn zones(&self) -> usize {
        self.there.len()
    }

    /// How many of them a commit must wait for such that whichever they are, they stand in `zones` other zones:
    /// one more than the largest group that stands in fewer. `None`: not even all of them do.
    pub(crate) fn enough(&self, zones: usize) -> Option<usize> {
        let Some(fewer) = zones.checked_sub(1) else {
            return Some(0);
        };
        if self.there.len() < zones {
            return None;
        }
        let mut sizes: Vec<usize> = self.there.values().copied().collect();
        sizes.sort_unstable_by(|left, right| right.cmp(left));
        let largest: usize = sizes.iter().take(fewer).sum();
        Some(self.here + self.unknown + largest + 1)
    }
}

/// Of `able`, the preferred first: the best of each zone until there are `zones` others than `own`, then the next
/// best until there are `count`. With `everybody`, the first `count` and whom the zones need.
pub(crate) fn choose(
    able: &[(&MemberName, Option<String>)],
    own: Option<&str>,
    zones: usize,
    count: usize,
    everybody: bool,
) -> Names {
    let mut covered: Vec<&str> = Vec::new();
    let mut chosen = Names::new();
    for (name, zone) in able {
        let Some(zone) = zone.as_deref().filter(|zone| Some(*zone) != own) else {
            continue;
        };
        if covered.len() < zones && !covered.contains(&zone) {
            covered.push(zone);
            chosen.insert((*name).clone());
        }
    }
    for (place, (name, _)) in able.iter().enumerate() {
        if (everybody && place < count) || (!everybody && chosen.len() < count) {
            chosen.insert((*name).clone());
        }
    }
    chosen
}

impl<'a> Turn<'a> {
    /// The policy with the zone I stand in, and how many others are needed.
    fn zones(&self) -> Option<(&'a ZonePolicy, Option<String>, usize)> {
        let policy = self.spec.zones.as_ref()?;
        let own = policy.zone_of(&self.spec.tags.published);
        let needed = policy.others_needed(own.as_deref());
        Some((policy, own, needed))
    }

    /// [`choose`] by what the member keys say, without a policy the first `count`. Once commits go on with fewer zones
    /// they do not wait for whoever is silent in a missing one.
    pub(crate) fn choose_standbys(
        &self,
        able: &[&MemberName],
        silent: &Names,
        count: usize,
    ) -> Names {
        let everybody = self.spec.synchronous_mode == SyncMode::Quorum;
        let members = self.view().map(|view| &view.members);
        let (Some((policy, own, needed)), Some(members)) = (self.zones(), members) else {
            return able
                .iter()
                .take(count)
                .map(|name| (*name).clone())
                .collect();
        };
        let zone = |name: &MemberName| policy.zone_of(&members.get(name)?.tags);
        let degraded = self.memory.shortage.is_some_and(|it| !it.told.waits);
        let answers = |name: &&&MemberName| !silent.contains(**name);
        let drops_silent = degraded && !everybody && able.iter().any(|name| answers(&name));
        let able: Vec<_> = able
            .iter()
            .filter(|name| !drops_silent || answers(name))
            .map(|name| (*name, zone(name)))
            .collect();
        choose(&able, own.as_deref(), needed, count, everybody)
    }

    fn places(&self, names: &Names, policy: &ZonePolicy, own: Option<&str>) -> Places {
        let mut places = Places::default();
        for name in names {
            let member = self.view().and_then(|view| view.members.get(name));
            match member.map(|member| policy.zone_of(&member.tags)) {
                Some(Some(zone)) if Some(zone.as_str()) != own => {
                    *places.there.entry(zone).or_default() += 1;
                }
                Some(_) => places.here += 1,
                None => places.unknown += 1,
            }
        }
        places
    }

    /// Whom commits wait for, with the zones seen to: `goal` has who can be waited for, `named` who is in the setting
    /// now. While too few zones have a standby and commits are to wait for more, who was waited for in the missing
    /// ones stays, and where that is not enough nobody's name holds them. Says what changes.
    pub(crate) fn see_to_zones(&mut self, goal: Waits, named: &Names, live: &LiveSeen) -> Waits {
        let Some((policy, own, needed)) = self.zones() else {
            self.memory.shortage = None;
            return goal;
        };
        let own = own.as_deref();
        let silent = self.silent();
        let heard: Names = goal.names.difference(&silent).cloned().collect();
        let heard = self.places(&heard, policy, own);
        let places = self.places(&goal.names, policy, own);
        if let Some(enough) = places.enough(needed).filter(|_| heard.zones() >= needed) {
            let count = goal.count.max(enough);
            self.end_shortage();
            return Waits { count, ..goal };
        }
        let (since, waited) = match self.memory.shortage {
            Some(shortage) => (shortage.since, shortage.waited),
            None => (
                self.now(),
                self.waits_for_zones(&live.synchronous_standby_names, needed),
            ),
        };
        let until = policy.degrade_after.map(|span| since.plus(span));
        let waits = until.is_none_or(|until| waited && self.now() < until);
        let told = ZoneShortage {
            covered: heard.zones() + usize::from(own.is_some()),
            wanted: policy.at_least,
            waits,
        };
        let held = waits.then(|| self.held(&goal, named, &heard));
        if let Some(until) = until.filter(|_| waits) {
            self.wake_at(until);
        }
        if self.memory.shortage.map(|shortage| shortage.told) != Some(told) {
            self.say(Reason::Warning(told.to_string()));
            // Who is chosen depends on it.
            self.wake_in(Duration::from_millis(100));
        }
        self.memory.shortage = Some(Shortage {
            since,
            waited,
            told,
        });
        held.unwrap_or(goal)
    }

    /// `goal` with those of `named` whose zone nobody of it stands in. They hold commits until they are back; when they
    /// do not stand in enough zones, one name more than there are does.
    fn held(&self, goal: &Waits, named: &Names, places: &Places) -> Waits {
        let Some((policy, own, needed)) = self.zones() else {
            return goal.clone();
        };
        let members = self.view().map(|view| &view.members);
        let zone = |name: &MemberName| {
            let member = members.and_then(|members| members.get(name));
            member.map(|member| policy.zone_of(&member.tags))
        };
        let elsewhere = |zone: &str| own.as_deref() != Some(zone);
        let missing = |name: &&MemberName| match zone(name) {
            Some(Some(zone)) => elsewhere(&zone) && !places.there.contains_key(&zone),
            Some(None) => false,
            None => true,
        };
        let mut names: Names = named.iter().filter(missing).cloned().collect();
        if self.spec.synchronous_mode == SyncMode::Quorum {
            names.extend(goal.names.iter().cloned());
        } else {
            // Who stands in another zone, and as many of mine as make the number up, the same ones as before.
            let far = |name: &&MemberName| zone(name).flatten().is_some_and(|it| elsewhere(&it));
            names.extend(goal.names.iter().filter(far).cloned());
            let (stay, come): (Vec<_>, Vec<_>) =
                goal.names.iter().partition(|name| named.contains(*name));
            for name in stay.into_iter().chain(come) {
                if names.len() < self.spec.synchronous_node_count.max(1) {
                    names.insert(name.clone());
                }
            }
        }
        let places = self.places(&names, policy, own.as_deref());
        let count = match places.enough(needed) {
            // In on-mode commits wait for all of them.
            Some(_) if self.spec.synchronous_mode != SyncMode::Quorum => names.len(),
            Some(enough) => goal.count.max(enough),
            None => names.len() + 1,
        };
        Waits { count, names }
    }

    /// Whether commits wait for enough zones by this setting, as far as anybody can tell.
    fn waits_for_zones(&self, setting: &str, needed: usize) -> bool {
        let Some((policy, own, _)) = self.zones() else {
            return true;
        };
        let Waits { count, names } = waits_of(setting);
        let mut places = self.places(&names, policy, own.as_deref());
        for unknown in 0..std::mem::take(&mut places.unknown) {
            places.there.insert(format!("unknown {unknown}"), 1);
        }
        holds(setting) || places.enough(needed).is_some_and(|enough| enough <= count)
    }

    fn end_shortage(&mut self) {
        if self.memory.shortage.take().is_some()
            && let Some(policy) = &self.spec.zones
        {
            let text = format!("commits wait for {} zones again", policy.at_least);
            self.say(Reason::Sync(text));
        }
    }

    /// Before a promotion: nothing is acknowledged in fewer zones, whoever has connected yet. With `degrade_after` 0
    /// nobody waits.
    pub(crate) fn zones_for_promotion(&self, waits: Waits) -> Waits {
        let Some((policy, own, needed)) = self.zones() else {
            return waits;
        };
        if policy.degrade_after.is_some_and(|span| span.is_zero()) {
            return waits;
        }
        let places = self.places(&waits.names, policy, own.as_deref());
        let count = match places.enough(needed) {
            Some(enough) => waits.count.max(enough),
            None => waits.names.len() + 1,
        };
        Waits { count, ..waits }
    }

    /// What the leader's member key says of missing zones.
    pub(crate) fn zones_told(&self) -> Option<ZoneShortage> {
        let shortage = self.memory.shortage.filter(|_| self.i_lead())?;
        Some(shortage.told)
    }
}

/// The names of `/sync` as what commits wait for in on-mode: all of them.
pub(crate) fn all_of(sync: &SyncDoc) -> Waits {
    let names = sync.standbys.clone();
    let count = names.len();
    Waits { count, names }
}
