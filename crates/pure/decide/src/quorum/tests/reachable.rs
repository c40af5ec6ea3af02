//! Every state that the steps can reach with three standbys, whatever is wanted next and wherever the agent
//! crashes: no commit that was acknowledged is missing on anybody who may lead, and the goal is always reached.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::{InForce, Names, Step, Votes, Waits, step};
use super::names;

/// A set of the standbys b, c, d as bits.
type Set = u8;
const ALL: Set = 0b111;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Setting {
    count: u8,
    names: Set,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct State {
    quorum: u8,
    voters: Set,
    waits: Setting,
    /// The settings by which some session may still commit.
    possible: Vec<Setting>,
    /// Who has it, beside the leader, for every commit: bit n stands for the set n.
    commits: u8,
    settled: bool,
    confirmed: Set,
    goal: Setting,
}

fn set(bits: Set) -> Names {
    let letters: String = "bcd"
        .chars()
        .enumerate()
        .filter(|(place, _)| bits & (1 << place) != 0)
        .map(|(_, letter)| letter)
        .collect();
    names(&letters)
}

fn bits(names: &Names) -> Set {
    let place = |letter: &str| "bcd".find(letter).unwrap();
    names.iter().map(|name| 1 << place(name.as_str())).sum()
}

fn ones(set: Set) -> u8 {
    u8::try_from(set.count_ones()).unwrap()
}

fn waits(setting: Setting) -> Waits {
    Waits {
        count: setting.count.into(),
        names: set(setting.names),
    }
}

fn setting(waits: &Waits) -> Setting {
    Setting {
        count: u8::try_from(waits.count).unwrap(),
        names: bits(&waits.names),
    }
}

fn goals() -> Vec<Setting> {
    let mut goals = vec![Setting { count: 0, names: 0 }];
    for names in 1..=ALL {
        // With one more than there are commits are held.
        goals.extend((1..=ones(names) + 1).map(|count| Setting { count, names }));
    }
    goals
}

impl State {
    fn begin() -> Self {
        let nobody = Setting { count: 0, names: 0 };
        Self {
            quorum: 0,
            voters: 0,
            waits: nobody,
            possible: vec![nobody],
            commits: 0,
            settled: true,
            confirmed: 0,
            goal: nobody,
        }
        .with_commits()
    }

    /// Clients commit all the time, by every setting that a session may know, held by as few as possible.
    fn with_commits(mut self) -> Self {
        for by in &self.possible {
            for holders in 0..=ALL {
                if holders & !by.names == 0 && ones(holders) == by.count {
                    self.commits |= 1 << holders;
                }
            }
        }
        // Who has more than what another commit's holders have loses nothing before that is lost.
        for holders in 0..=ALL {
            let fewer =
                (0..holders).any(|few| few & holders == few && self.commits & (1 << few) != 0);
            if fewer {
                self.commits &= !(1 << holders);
            }
        }
        self
    }

    fn after(&self, write: Write) -> Self {
        let mut next = self.clone();
        match write {
            Write::Votes { quorum, voters } => {
                next.quorum = quorum;
                next.voters = voters;
            }
            Write::Waits(waits) => {
                next.waits = waits;
                next.possible.push(waits);
                next.possible.sort_unstable();
                next.possible.dedup();
                next.settled = false;
                next.confirmed = 0;
            }
        }
        next.with_commits()
    }

    fn when_settled(&self) -> Self {
        let mut next = self.clone();
        next.possible = vec![next.waits];
        next.settled = true;
        next
    }

    /// A standby that is waited for catches up with all that is there.
    fn when_caught_up(&self, who: Set) -> Self {
        let mut next = self.clone();
        next.commits = 0;
        for holders in 0..=ALL {
            if self.commits & (1 << holders) != 0 {
                next.commits |= 1 << (holders | who);
            }
        }
        next.confirmed |= who;
        next.with_commits()
    }

    fn successors(&self, goals: &[Setting], agent: &mut Agent) -> Vec<Self> {
        let write = agent.writes(self);
        let mut all: Vec<Self> = write.iter().map(|write| self.after(*write)).collect();
        if self.settled {
            let waited_for = [1, 2, 4]
                .into_iter()
                .filter(|who| self.waits.names & who != 0);
            all.extend(waited_for.map(|who| self.when_caught_up(who)));
        } else {
            all.push(self.when_settled());
        }
        // The agent dies and comes back.
        all.push(Self {
            settled: false,
            confirmed: 0,
            ..self.clone()
        });
        // So that the states come to an end: no more than three settings are under way.
        if self.possible.len() < 3 {
            all.extend(goals.iter().map(|goal| Self {
                goal: *goal,
                ..self.clone()
            }));
        }
        all.iter().map(Self::renamed).collect()
    }

    /// The same with the standbys called otherwise: one state for all that differ in names only.
    fn renamed(&self) -> Self {
        const ORDERS: [[u8; 3]; 6] = [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ];
        let by = |order: [u8; 3]| {
            let set = |set: Set| {
                (0..3_u8)
                    .filter(|place| set & (1 << place) != 0)
                    .map(|place| 1 << order[usize::from(place)])
                    .sum::<Set>()
            };
            let setting = |it: Setting| Setting {
                count: it.count,
                names: set(it.names),
            };
            let mut possible: Vec<_> = self.possible.iter().map(|it| setting(*it)).collect();
            possible.sort_unstable();
            Self {
                quorum: self.quorum,
                voters: set(self.voters),
                waits: setting(self.waits),
                possible,
                commits: (0..=ALL)
                    .filter(|holders| self.commits & (1 << holders) != 0)
                    .map(|holders| 1 << set(holders))
                    .sum(),
                settled: self.settled,
                confirmed: set(self.confirmed),
                goal: setting(self.goal),
            }
        };
        ORDERS.map(by).into_iter().min().unwrap()
    }

    /// A group that may vote one of its own in, without the leader, and has nobody with some commit.
    fn who_may_lead_and_lacks_a_commit(&self) -> Option<(Set, Set)> {
        (1..=ALL)
            .filter(|group| {
                let votes = ones(group & self.voters);
                // A candidate that does not vote needs one vote more, which comes to the same.
                votes > self.quorum
            })
            .find_map(|group| {
                (0..=ALL)
                    .find(|holders| self.commits & (1 << holders) != 0 && holders & group == 0)
                    .map(|holders| (group, holders))
            })
    }

    /// Whether everything comes to be as it is wanted when nothing else happens.
    fn gets_there(&self, agent: &mut Agent) -> bool {
        let mut state = self.clone();
        for _ in 0..24 {
            state = match agent.writes(&state) {
                Some(write) => state.after(write),
                None if !state.settled => state.when_settled(),
                None if state.confirmed != state.waits.names => {
                    let names = state.waits.names;
                    state.when_caught_up(names)
                }
                None => break,
            };
        }
        let quorum = ones(state.goal.names).saturating_sub(state.goal.count);
        state.waits == state.goal && state.voters == state.goal.names && state.quorum == quorum
    }
}

#[derive(Debug, Clone, Copy)]
enum Write {
    Votes { quorum: u8, voters: Set },
    Waits(Setting),
}

/// What the agent knows of a state.
type Seen = (u8, Set, Setting, bool, Set, Setting);

/// The code under test; it is asked once for all states that look the same to it.
#[derive(Debug, Default)]
struct Agent {
    known: BTreeMap<Seen, Option<Write>>,
    arrives: BTreeMap<Seen, bool>,
}

impl Agent {
    fn seen(state: &State) -> Seen {
        let State {
            quorum,
            voters,
            waits,
            settled,
            confirmed,
            goal,
            ..
        } = *state;
        (quorum, voters, waits, settled, confirmed, goal)
    }

    fn writes(&mut self, state: &State) -> Option<Write> {
        *self.known.entry(Self::seen(state)).or_insert_with(|| {
            let now = InForce {
                votes: Votes {
                    quorum: state.quorum.into(),
                    voters: set(state.voters),
                },
                waits: waits(state.waits),
                settled: state.settled,
                confirmed: set(state.confirmed),
            };
            step(&now, &waits(state.goal)).map(|step| match step {
                Step::Votes(votes) => Write::Votes {
                    quorum: u8::try_from(votes.quorum).unwrap(),
                    voters: bits(&votes.voters),
                },
                Step::Waits(waits) => Write::Waits(setting(&waits)),
            })
        })
    }

    fn arrives(&mut self, state: &State) -> bool {
        if let Some(known) = self.arrives.get(&Self::seen(state)) {
            return *known;
        }
        let arrives = state.gets_there(self);
        self.arrives.insert(Self::seen(state), arrives);
        arrives
    }
}

#[test]
fn nothing_is_lost_wherever_it_stops_and_the_goal_is_reached() {
    let goals = goals();
    let mut agent = Agent::default();
    let begin = State::begin();
    let mut seen = BTreeSet::from([begin.clone()]);
    let mut open = VecDeque::from([begin]);
    while let Some(state) = open.pop_front() {
        assert_eq!(state.who_may_lead_and_lacks_a_commit(), None, "{state:?}");
        let all = ones(state.voters | state.waits.names);
        let overlap = state.voters == 0 || all <= state.quorum + state.waits.count;
        assert!(overlap, "|V + S| <= Q + N: {state:?}");
        assert!(agent.arrives(&state), "{state:?}");
        for next in state.successors(&goals, &mut agent) {
            if seen.insert(next.clone()) {
                open.push_back(next);
            }
        }
    }
    println!("{} states", seen.len());
    assert!(seen.len() > 1000, "{}", seen.len());
}
