//! Texts typed on the command line: one rule for tickets, names, reasons and versions.

use firmware_verifier::trust::credential::MAX_NAME;

/// One line: not empty, at most [`MAX`] characters, none of them a control character. It ends up in cases,
/// lists and logs, where an escape sequence would be carried out by the terminal that shows it.
pub(super) fn line(text: &str) -> Result<String, String> {
    line_of(text, MAX)
}

/// As [`line`], for names in certificates, which are longer.
pub(super) fn long_line(text: &str) -> Result<String, String> {
    line_of(text, MAX_NAME)
}

fn line_of(text: &str, max: usize) -> Result<String, String> {
    let len = text.chars().count();
    if text.trim().is_empty() {
        return Err(format!("it is empty; write 1 to {max} characters"));
    }
    if len > max {
        return Err(format!("{len} characters; at most {max}"));
    }
    match text.chars().find(|c| super::print::is_control(*c)) {
        Some(c) => Err(format!("the control character {c:?}; write one line of text")),
        None => Ok(text.into()),
    }
}

/// Most characters of one text: a line or two on a screen. The name of a trust anchor is shorter still.
const MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_line_of_at_most_200_characters() {
        let cases: &[(&str, &str, Option<&str>)] = &[
            ("a ticket", "CHG-7", None),
            ("words of any language", "Prüfung nach Umbau, Grüße", None),
            ("as long as may be", &"ü".repeat(200), None),
            ("one longer", &"ü".repeat(201), Some("201 characters; at most 200")),
            ("nothing", "", Some("it is empty")),
            ("blanks", "  ", Some("it is empty")),
            ("two lines", "CHG\n7", Some("control character '\\n'")),
            ("an escape sequence", "CHG\u{1b}[2J", Some("control character '\\u{1b}'")),
            ("its form in one character", "CHG\u{9b}2J", Some("control character '\\u{9b}'")),
            ("a text that runs backwards", "CHG\u{202e}7", Some("control character '\\u{202e}'")),
        ];
        for (what, text, refused) in cases {
            match (line(text), refused) {
                (Ok(taken), None) => assert_eq!(taken, *text, "{what}"),
                (Err(e), Some(refused)) => assert!(e.contains(refused), "{what}: {e}"),
                (found, _) => panic!("{what}: {found:?}"),
            }
        }
    }
}
