//! The network between members, the DCS and clients: which way is open, and how long a message takes.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use pgherd_domain::MemberName;

use crate::dice::{Dice, Span};
use crate::world::World;

/// Where something is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// On a member's host.
    Member(MemberName),
    /// At the DCS.
    Dcs,
    /// Where the clients are.
    Clients,
}

impl Place {
    /// Reads a name as scenarios write it.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "dcs" => Self::Dcs,
            "clients" => Self::Clients,
            name => Self::Member(MemberName::new(name).ok()?),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(name) => name.fmt(f),
            Self::Dcs => f.write_str("dcs"),
            Self::Clients => f.write_str("clients"),
        }
    }
}

/// How long a message between two hosts takes.
const LATENCY: Span = Span::millis(1, 4);

/// A message that can not be delivered for this long is lost with its connection.
const CONNECTION_DIES: Duration = Duration::from_secs(15);

/// Links in one direction each. All are open at first.
#[derive(Debug)]
pub(crate) struct Network {
    shut: BTreeSet<(Place, Place)>,
    dark: BTreeSet<Place>,
    dice: Dice,
    /// How long a message takes.
    pub(crate) latency: Span,
}

impl Network {
    pub(crate) const fn new(dice: Dice) -> Self {
        Self {
            shut: BTreeSet::new(),
            dark: BTreeSet::new(),
            dice,
            latency: LATENCY,
        }
    }

    /// Shuts one direction.
    pub(crate) fn cut(&mut self, from: &Place, to: &Place) {
        self.shut.insert((from.clone(), to.clone()));
    }

    /// Opens everything that was cut.
    pub(crate) fn heal(&mut self) {
        self.shut.clear();
    }

    /// A place without power, or with power again.
    pub(crate) fn power(&mut self, place: &Place, on: bool) {
        if on {
            self.dark.remove(place);
        } else {
            self.dark.insert(place.clone());
        }
    }

    /// Whether messages pass from `from` to `to`.
    pub(crate) fn is_open(&self, from: &Place, to: &Place) -> bool {
        let lit = !self.dark.contains(from) && !self.dark.contains(to);
        lit && (from == to || !self.shut.contains(&(from.clone(), to.clone())))
    }

    /// Whether both ways are open.
    pub(crate) fn is_whole(&self, a: &Place, b: &Place) -> bool {
        self.is_open(a, b) && self.is_open(b, a)
    }

    fn delay(&mut self, from: &Place, to: &Place) -> Duration {
        if from == to {
            return Duration::ZERO;
        }
        self.dice.within(self.latency)
    }
}

impl World {
    /// Carries a message. `false`: it was lost, because the way stayed shut until the connection died.
    /// A message that finds the way shut is sent again, as TCP does, so it may arrive late.
    pub(crate) async fn carry(&self, from: &Place, to: &Place) -> bool {
        loop {
            let open = self.until(|state| state.network.is_open(from, to).then_some(()));
            if tokio::time::timeout(CONNECTION_DIES, open).await.is_err() {
                return false;
            }
            let delay = self.quietly(|state| state.network.delay(from, to));
            self.sleep(delay).await;
            if self.look(|state| state.network.is_open(from, to)) {
                return true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        Place::parse(name).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn one_direction_can_be_cut_alone() {
        let world = World::new(1);
        let (a, dcs) = (place("a"), place("dcs"));
        world.change(|state| state.network.cut(&a, &dcs));
        assert!(world.carry(&dcs, &a).await);
        assert!(!world.carry(&a, &dcs).await);
        assert!(world.now() >= CONNECTION_DIES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_arrives_late_when_the_way_opens_again() {
        let world = World::new(1);
        let (a, b) = (place("a"), place("b"));
        world.change(|state| state.network.cut(&a, &b));
        let healer = world.clone();
        world.spawn(async move {
            healer.sleep(Duration::from_secs(5)).await;
            healer.change(|state| state.network.heal());
        });
        assert!(world.carry(&a, &b).await);
        assert!(world.now() >= Duration::from_secs(5) && world.now() < Duration::from_secs(6));
    }
}
