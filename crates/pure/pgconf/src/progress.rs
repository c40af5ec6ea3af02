//! How far pg_basebackup and pg_rewind say they are (`--progress`).

/// What a line such as `422953/922953 kB (45%), 0/1 tablespace` means: `412 of 901 MB (45 %)`. `None` for
/// a line that tells no progress.
pub fn copied(line: &str) -> Option<String> {
    let (done, rest) = line.trim().split_once('/')?;
    let (total, rest) = rest.split_once(" kB (")?;
    let (percent, _) = rest.split_once("%)")?;
    let done: u64 = done.trim().parse().ok()?;
    let total: u64 = total.trim().parse().ok()?;
    let percent: u64 = percent.trim().parse().ok()?;
    Some(format!(
        "{} of {} MB ({percent} %)",
        done / 1024,
        total.div_ceil(1024)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_megabytes() {
        let told = |line| copied(line);
        assert_eq!(
            told("422953/922953 kB (45%), 0/1 tablespace").unwrap(),
            "413 of 902 MB (45 %)"
        );
        assert_eq!(
            told("  512/1024 kB (50%) copied").unwrap(),
            "0 of 1 MB (50 %)"
        );
        assert_eq!(told("waiting for checkpoint"), None);
        assert_eq!(told("pg_basebackup: error: a/b"), None);
    }
}
