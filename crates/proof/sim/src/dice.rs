//! Seeded randomness: the only source of chance in a universe, so that one seed gives one universe.

use std::time::Duration;

/// A small generator (SplitMix64). Not for secrets.
#[derive(Debug, Clone)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The dice of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Dice of their own for `subject`: what one subject throws does not shift what others get.
    #[must_use]
    pub fn of(&self, subject: &str) -> Self {
        let mut hash = self.state ^ 0xCBF2_9CE4_8422_2325;
        for byte in subject.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
        let mut dice = Self::new(hash);
        dice.roll();
        dice
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 when the limit is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit.max(1)
    }

    /// Whether something with a chance of `per_mille` in a thousand happens.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// A span of whole milliseconds within `span`.
    pub fn within(&mut self, span: Span) -> Duration {
        Duration::from_millis(span.least + self.below(span.most.saturating_sub(span.least) + 1))
    }

    /// One of `items`; `None` when there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = usize::try_from(self.below(u64::try_from(items.len()).ok()?)).ok()?;
        items.get(index)
    }
}

/// From the least to the most, both in milliseconds and both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The least.
    pub least: u64,
    /// The most.
    pub most: u64,
}

impl Span {
    /// From `least` to `most` milliseconds.
    pub const fn millis(least: u64, most: u64) -> Self {
        Self { least, most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_throws_the_same_and_another_does_not() {
        let throws = |seed| {
            let mut dice = Dice::new(seed).of("network");
            (0..8).map(|_| dice.roll()).collect::<Vec<_>>()
        };
        assert_eq!(throws(7), throws(7));
        assert_ne!(throws(7), throws(8));
    }

    #[test]
    fn a_span_includes_both_ends() {
        let mut dice = Dice::new(1);
        let thrown: std::collections::BTreeSet<_> =
            (0..200).map(|_| dice.within(Span::millis(3, 5))).collect();
        assert_eq!(
            thrown.into_iter().collect::<Vec<_>>(),
            [3, 4, 5].map(Duration::from_millis)
        );
    }
}
