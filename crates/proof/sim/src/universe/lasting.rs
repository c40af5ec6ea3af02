//! Faults of one member that last until they are ended, and how each begins and ends.

use std::collections::BTreeSet;

use crate::dice::Dice;

/// The line that begins a fault, and the one that ends it; `{}` is the member.
const KINDS: [(&str, &str); 11] = [
    ("stick agent {}", "unstick agent {}"),
    ("suspend host {}", "wake host {}"),
    ("freeze postmaster {}", "thaw postmaster {}"),
    ("freeze backends {}", "thaw backends {}"),
    ("slow sql at {} 3s", "slow sql at {} 0s"),
    ("slow disk of {} by 45", "slow disk of {} by 1"),
    ("slow disk of {} by 5", "slow disk of {} by 1"),
    ("fill disk of {}", "free disk of {}"),
    ("dcs behind {}", "dcs current {}"),
    ("kill watch of {}", "restart watch of {}"),
    ("tags {} nofailover=true", "tags {}"),
];

/// Which of them there are at the moment.
#[derive(Debug, Default)]
pub(super) struct Lasting(BTreeSet<(usize, String)>);

impl Lasting {
    /// Begins one at `who`, or ends one that is there.
    pub(super) fn next(&mut self, dice: &mut Dice, who: &str) -> String {
        let index = usize::try_from(dice.below(u64::try_from(KINDS.len()).unwrap_or(1)));
        let index = index.unwrap_or(0);
        let there: Vec<_> = self.0.iter().cloned().collect();
        if dice.chance(400)
            && let Some(ends) = dice.pick(&there)
        {
            self.0.remove(ends);
            let (index, who) = ends;
            return line(*index, who, false);
        }
        self.0.insert((index, who.to_owned()));
        line(index, who, true)
    }
}

/// The lines that end them all at `who`, whether or not they are there.
pub(super) fn ends(who: &str) -> impl Iterator<Item = String> {
    (0..KINDS.len()).map(move |index| line(index, who, false))
}

fn line(index: usize, who: &str, begins: bool) -> String {
    let (begin, end) = KINDS.get(index).unwrap_or(&KINDS[0]);
    let text = if begins { begin } else { end };
    text.replace("{}", who)
}
