//! Where in which file a table stands: every complaint about one begins with it.

use toml::Spanned;

use super::ConfigError;

/// A table as typed, and where it stands.
#[derive(Debug)]
pub(super) struct Typed<T> {
    pub(super) at: Place,
    pub(super) raw: T,
}

/// File, and line from 1, of a table's head.
#[derive(Debug, Clone)]
pub(super) struct Place {
    file: String,
    line: usize,
}

impl<T> Typed<T> {
    pub(super) fn new(file: &str, text: &str, raw: Spanned<T>) -> Typed<T> {
        let before = text.get(..raw.span().start).unwrap_or_default();
        Typed {
            at: Place { file: file.into(), line: 1 + before.matches('\n').count() },
            raw: raw.into_inner(),
        }
    }
}

impl Place {
    /// `what` is wrong here.
    pub(super) fn error(&self, what: impl std::fmt::Display) -> ConfigError {
        ConfigError { file: self.file.clone(), what: format!("line {}: {what}", self.line) }
    }
}
