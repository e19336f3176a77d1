//! What a person can do about a failure that has no reason code: a last line of its text.
//!
//! A reason code brings its own next step from the table. Where there is none, whoever makes the failure knows
//! what to do. The line travels with the text, also over the management socket, and is never shown twice.

use crate::judge::Failure;

impl Failure {
    /// The same failure, saying what to do.
    #[must_use]
    pub fn next(mut self, what: impl std::fmt::Display) -> Failure {
        self.text = format!("{}{MARK}{what}", self.text);
        self
    }

    /// What went wrong, and what to do where it is said.
    pub fn told(&self) -> (&str, Option<&str>) {
        match self.text.split_once(MARK) {
            Some((text, next)) => (text, Some(next)),
            None => (&self.text, None),
        }
    }
}

/// How the last line of a text begins that says what to do.
const MARK: &str = "\n  next: ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_to_do_in_a_line_of_its_own() {
        let bare = Failure::usage("no such file");
        assert_eq!(bare.told(), ("no such file", None));
        let failure = bare.next("name another");
        assert_eq!(failure.told(), ("no such file", Some("name another")));
        assert_eq!(failure.to_string(), "no such file\n  next: name another");
    }
}
