//! One error type: one line that says what failed, the values, and the cure.
//!
//! Lower case, no full stop: `conv::forward: weight wants 64 input channels, signal has 128`.
//! Panics are for bugs; everything a user can cause is an [`Error`].

use std::path::Path;

/// Who has to act, which decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command line or a recipe is wrong: exit code 2.
    Usage,
    /// The input or the machine failed: exit code 1.
    Failed,
    /// A device has no memory left, so that less at once may do: exit code 1.
    Memory,
    /// Ctrl-C; the message says how to go on: exit code 1.
    Interrupted,
}

/// An error of the program: a kind and one line of text.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub struct Error {
    kind: Kind,
    text: String,
}

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind`. Line breaks in `text` become spaces: an error is one line.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        let text: String = text.into();
        let text = text.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
        Error { kind, text }
    }

    /// A failure of input or machine (exit code 1).
    pub fn failed(text: impl Into<String>) -> Self {
        Self::new(Kind::Failed, text)
    }

    /// A wrong command line or recipe (exit code 2).
    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(Kind::Usage, text)
    }

    /// `what PATH: cause` of an operating-system error.
    pub fn io(what: &str, path: &Path, cause: &std::io::Error) -> Self {
        Self::failed(format!("{what} {}: {cause}", path.display()))
    }

    /// Who has to act.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The same error with `prefix: ` before its text.
    #[must_use]
    pub fn within(self, prefix: impl std::fmt::Display) -> Self {
        Error { kind: self.kind, text: format!("{prefix}: {}", self.text) }
    }

    /// The process exit code of this error.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Usage => 2,
            Kind::Failed | Kind::Memory | Kind::Interrupted => 1,
        }
    }
}

/// `fail!("idx: {} ...", x)`: the [`Error`] of a failure, formatted.
#[macro_export]
#[doc(hidden)]
macro_rules! __fail {
    ($($text:tt)*) => { $crate::base::Error::failed(format!($($text)*)) };
}

/// `usage!("...")`: the [`Error`] of a wrong command line, formatted.
#[macro_export]
#[doc(hidden)]
macro_rules! __usage {
    ($($text:tt)*) => { $crate::base::Error::usage(format!($($text)*)) };
}

/// `ensure!(condition, "...")`: return a failure unless the condition holds (a NaN comparison fails).
#[macro_export]
#[doc(hidden)]
macro_rules! __ensure {
    ($holds:expr, $($text:tt)*) => {
        let holds: bool = $holds;
        if !holds { return Err($crate::base::Error::failed(format!($($text)*))); }
    };
}

pub use {__ensure as ensure, __fail as fail, __usage as usage};

/// The member of `valid` nearest to `typed` (Levenshtein distance at most a third of the longer word, at least 2).
pub fn nearest<'a>(typed: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    valid
        .into_iter()
        .map(|word| (distance(&typed, &word.to_lowercase()), word))
        .filter(|(d, word)| *d <= (typed.chars().count().max(word.chars().count()) / 3).max(2))
        .min_by_key(|(d, _)| *d)
        .map(|(_, word)| word)
}

/// ` (did you mean "x"?)` for the nearest member of `valid`, or the whole list when none is near.
pub fn suggest<'a>(typed: &str, valid: impl IntoIterator<Item = &'a str>) -> String {
    let valid: Vec<&str> = valid.into_iter().collect();
    match nearest(typed, valid.iter().copied()) {
        Some(word) => format!(" (did you mean \"{word}\"?)"),
        None => format!(" (valid: {})", valid.join(", ")),
    }
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line() {
        assert_eq!(Error::failed("a\n  b\n").to_string(), "a; b");
    }

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        assert_eq!(nearest("epoch", ["epochs", "batch"]), Some("epochs"));
        assert_eq!(nearest("pgdd", ["apgd-ce", "pgd"]), Some("pgd"));
        assert_eq!(nearest("zzzzzzzz", ["epochs", "batch"]), None);
    }
}
