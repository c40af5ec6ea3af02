//! Log sequence numbers: positions in the WAL, and distances between them.

use std::fmt;

/// A position in the WAL, in bytes since the beginning of the cluster's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(u64);

/// A distance in the WAL, in bytes.
pub type WalBytes = u64;

/// A text that is no LSN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no WAL position; expected two hexadecimal numbers such as 16/B374D848")]
pub struct ParseLsnError {
    text: String,
}

impl Lsn {
    /// The position `bytes` bytes into the WAL.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes since the beginning.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Whether this is `0/0`, which PostgreSQL uses for "none".
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Parses the form PostgreSQL prints, such as `16/B374D848`.
    ///
    /// # Errors
    /// When the text is not two hexadecimal numbers of at most 32 bits with a slash between.
    pub fn parse(text: &str) -> Result<Self, ParseLsnError> {
        let wrong = || ParseLsnError {
            text: text.to_owned(),
        };
        let (high, low) = text.trim().split_once('/').ok_or_else(wrong)?;
        let high = u32::from_str_radix(high, 16).map_err(|_| wrong())?;
        let low = u32::from_str_radix(low, 16).map_err(|_| wrong())?;
        Ok(Self(u64::from(high) << 32 | u64::from(low)))
    }

    /// How far this is behind `ahead`; zero when it is not behind.
    pub const fn behind(self, ahead: Self) -> WalBytes {
        ahead.0.saturating_sub(self.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_lsn_reads_back_what_it_prints() {
        for text in ["0/0", "0/4000060", "16/B374D848", "FFFFFFFF/FFFFFFFF"] {
            assert_eq!(Lsn::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_text_without_slash_is_refused_with_an_example() {
        let error = Lsn::parse("1234").unwrap_err().to_string();
        assert!(
            error.contains("`1234`") && error.contains("16/B374D848"),
            "{error}"
        );
    }
}
