//! How many are enough, and who is chosen, against naive enumerations.

use super::*;

fn name(text: &str) -> MemberName {
    MemberName::new(text).unwrap()
}

/// One standby for each letter: its zone; `a` is the leader's own, `-` is none.
fn places(letters: &[u8]) -> Places {
    let mut places = Places::default();
    for letter in letters {
        match letter {
            b'a' | b'-' => places.here += 1,
            zone => *places.there.entry(char::from(*zone).into()).or_default() += 1,
        }
    }
    places
}

/// Tries every group of `count` standbys: the fewest other zones that one of them stands in.
fn fewest_zones(letters: &[u8], count: usize) -> Option<usize> {
    let groups = (0_u32..1 << letters.len()).filter(|group| group.count_ones() as usize == count);
    groups
        .map(|group| {
            let mut zones: Vec<u8> = (0..letters.len())
                .filter(|place| group & (1 << place) != 0)
                .map(|place| letters[place])
                .filter(|zone| !matches!(zone, b'a' | b'-'))
                .collect();
            zones.sort_unstable();
            zones.dedup();
            zones.len()
        })
        .min()
}

#[test]
fn whichever_standbys_have_it_they_stand_in_enough_zones_and_no_more_are_asked_for() {
    let mut found = 0;
    for size in 0..=6_u32 {
        for number in 0..5_usize.pow(size) {
            let letters: Vec<u8> = (0..size)
                .map(|place| b"a-bcd"[number / 5_usize.pow(place) % 5])
                .collect();
            for zones in 0..=3 {
                let naive = (0..=letters.len())
                    .find(|count| fewest_zones(&letters, *count).is_some_and(|it| it >= zones));
                assert_eq!(places(&letters).enough(zones), naive, "{letters:?} {zones}");
                found += 1;
            }
        }
    }
    assert!(found > 50_000, "{found}");
}

#[test]
fn the_chosen_stand_in_as_many_zones_as_there_are_and_are_the_first_of_theirs() {
    for number in 0..4_usize.pow(5) {
        let letters: Vec<u8> = (0..5)
            .map(|place| b"a-bc"[number / 4_usize.pow(place) % 4])
            .collect();
        let names: Vec<MemberName> = (1..=5).map(|at| name(&format!("n{at}"))).collect();
        let zone = |at: usize| {
            let letter = letters[at];
            (letter != b'-').then(|| char::from(letter).to_string())
        };
        let able: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(at, name)| (name, zone(at)))
            .collect();
        let there = places(&letters).zones();
        for (zones, count) in [(1, 1), (2, 1), (1, 2), (2, 2), (2, 4)] {
            let chosen = choose(&able, Some("a"), zones, count, false);
            assert_eq!(chosen.len(), count.max(zones.min(there)));
            let standing: Vec<u8> = (0..5)
                .filter(|at| chosen.contains(&names[*at]))
                .map(|at| letters[at])
                .collect();
            assert!(places(&standing).zones() >= zones.min(there), "{letters:?}");
            for (at, letter) in letters.iter().enumerate() {
                let before = (0..at)
                    .any(|other| letters[other] == *letter && !chosen.contains(&names[other]));
                assert!(
                    !(before && chosen.contains(&names[at])),
                    "{letters:?} {chosen:?}"
                );
            }
        }
    }
}
