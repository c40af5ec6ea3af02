//! The difference of two texts in unified format, three lines of context, as `edit-config` shows it.

/// Lines of context around a change.
const CONTEXT: usize = 3;
/// Beyond this many lines on a side that differ in the middle, the whole middle counts as changed.
const COMPARED_MAX: usize = 4_000;

/// The difference from `old` to `new`, each line ended; empty when there is none.
pub fn unified(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let lines = compare(&old, &new);
    let changed: Vec<usize> = (0..lines.len())
        .filter(|at| lines[*at].kind != Kind::Same)
        .collect();
    let (Some(first), Some(_)) = (changed.first(), changed.last()) else {
        return String::new();
    };
    let mut out = String::from("--- \n+++ \n");
    let mut start = first.saturating_sub(CONTEXT);
    let mut end = first + 1;
    for at in changed {
        if at > end + 2 * CONTEXT {
            hunk(&lines, start, (end + CONTEXT).min(lines.len()), &mut out);
            start = at - CONTEXT;
        }
        end = at + 1;
    }
    hunk(&lines, start, (end + CONTEXT).min(lines.len()), &mut out);
    out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Same,
    Gone,
    Added,
}

/// One line of the comparison, with how many old and new lines stand before it.
#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    kind: Kind,
    text: &'a str,
    old_before: usize,
    new_before: usize,
}

fn hunk(lines: &[Line<'_>], start: usize, end: usize, out: &mut String) {
    let lines = lines.get(start..end).unwrap_or_default();
    let Some(first) = lines.first() else { return };
    let count = |not: Kind| lines.iter().filter(|line| line.kind != not).count();
    let old = range(first.old_before, count(Kind::Added));
    let new = range(first.new_before, count(Kind::Gone));
    out.push_str(&format!("@@ -{old} +{new} @@\n"));
    for line in lines {
        out.push(match line.kind {
            Kind::Same => ' ',
            Kind::Gone => '-',
            Kind::Added => '+',
        });
        out.push_str(line.text);
        out.push('\n');
    }
}

/// `start,count` as diff writes it: a single line has no count, nothing stands after the line before it.
fn range(before: usize, count: usize) -> String {
    match count {
        0 => format!("{before},0"),
        1 => format!("{}", before + 1),
        _ => format!("{},{count}", before + 1),
    }
}

/// Every line of both texts in order: the same, gone or added; the longest common part stays.
fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let head = old
        .iter()
        .zip(new)
        .take_while(|(old, new)| old == new)
        .count();
    let tail = old[head..]
        .iter()
        .rev()
        .zip(new[head..].iter().rev())
        .take_while(|(old, new)| old == new)
        .count();
    let (old_middle, new_middle) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut kinds = vec![Kind::Same; head];
    kinds.extend(middle(old_middle, new_middle));
    kinds.extend(vec![Kind::Same; tail]);
    let (mut old_at, mut new_at) = (0, 0);
    let mut lines = Vec::with_capacity(kinds.len());
    for kind in kinds {
        let text = if kind == Kind::Added {
            new[new_at]
        } else {
            old[old_at]
        };
        lines.push(Line {
            kind,
            text,
            old_before: old_at,
            new_before: new_at,
        });
        old_at += usize::from(kind != Kind::Added);
        new_at += usize::from(kind != Kind::Gone);
    }
    lines
}

/// The changes between two texts that differ at both ends.
fn middle(old: &[&str], new: &[&str]) -> Vec<Kind> {
    if old.len().max(new.len()) > COMPARED_MAX {
        let mut kinds = vec![Kind::Gone; old.len()];
        kinds.extend(vec![Kind::Added; new.len()]);
        return kinds;
    }
    // longest[o][n]: how many lines the rests from o and n have in common
    let mut longest = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for o in (0..old.len()).rev() {
        for n in (0..new.len()).rev() {
            longest[o][n] = if old[o] == new[n] {
                longest[o + 1][n + 1] + 1
            } else {
                longest[o + 1][n].max(longest[o][n + 1])
            };
        }
    }
    let (mut o, mut n) = (0, 0);
    let mut kinds = Vec::new();
    while o < old.len() || n < new.len() {
        let kind = if o < old.len() && n < new.len() && old[o] == new[n] {
            Kind::Same
        } else if n == new.len() || (o < old.len() && longest[o + 1][n] >= longest[o][n + 1]) {
            Kind::Gone
        } else {
            Kind::Added
        };
        o += usize::from(kind != Kind::Added);
        n += usize::from(kind != Kind::Gone);
        kinds.push(kind);
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_no_difference() {
        assert_eq!(unified("a\nb\n", "a\nb\n"), "");
        assert_eq!(unified("", ""), "");
    }

    #[test]
    fn changes_have_three_lines_of_context_and_far_ones_are_apart() {
        let old = "date: x\nel: []\nfl: 1\nlist: 2\na: 1\nb: 2\nc: 3\nd: 4\nttl: 30\nuni: e\n";
        let new = "date: x\nel:\n- 1\nfl: 1\nlist: 2\na: 1\nb: 2\nc: 3\nd: 4\nttl: 40\nuni: e\n";
        assert_eq!(
            unified(old, new),
            concat!(
                "--- \n+++ \n",
                "@@ -1,10 +1,11 @@\n date: x\n-el: []\n+el:\n+- 1\n fl: 1\n list: 2\n a: 1\n b: 2\n",
                " c: 3\n d: 4\n-ttl: 30\n+ttl: 40\n uni: e\n"
            )
        );
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let new = "x\n2\n3\n4\n5\n6\n7\n8\ny\n";
        assert_eq!(
            unified(old, new),
            concat!(
                "--- \n+++ \n",
                "@@ -1,4 +1,4 @@\n-1\n+x\n 2\n 3\n 4\n@@ -6,4 +6,4 @@\n 6\n 7\n 8\n-9\n+y\n"
            )
        );
    }

    #[test]
    fn one_side_may_be_empty_or_a_single_line() {
        assert_eq!(unified("", "a\n"), "--- \n+++ \n@@ -0,0 +1 @@\n+a\n");
        assert_eq!(
            unified("a\nb\n", ""),
            "--- \n+++ \n@@ -1,2 +0,0 @@\n-a\n-b\n"
        );
        assert_eq!(
            unified("a\nb\nc\n", "ttl: 1\n"),
            "--- \n+++ \n@@ -1,3 +1 @@\n-a\n-b\n-c\n+ttl: 1\n"
        );
    }
}
