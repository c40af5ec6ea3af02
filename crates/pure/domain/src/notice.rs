//! What an operator is told beside the line of a turn: once when it begins to hold, not every turn.

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeLevel {
    /// Good to know.
    Info,
    /// It goes on, but somebody should look.
    Warn,
    /// It does not go on before somebody has done something.
    Error,
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Notice {
    /// How much it matters.
    pub level: NoticeLevel,
    /// What, why, and what to do.
    pub text: String,
}

impl Notice {
    /// Good to know.
    pub fn info(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            level: NoticeLevel::Info,
            text,
        }
    }

    /// Somebody should look.
    pub fn warn(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            level: NoticeLevel::Warn,
            text,
        }
    }

    /// Somebody has to do something.
    pub fn error(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            level: NoticeLevel::Error,
            text,
        }
    }
}
