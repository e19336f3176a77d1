//! Dates as advisories have them: RFC 3339, with any offset and any fraction of a second.

use hal::clock::Wall;

/// The moment of `2021-07-21T10:00:00.000Z`, `2021-07-21T12:00:00+02:00`, `2021-07-21`.
pub(super) fn read(text: &str) -> Option<Wall> {
    let text = text.trim().to_ascii_uppercase();
    let time = text.get(10..).unwrap_or_default();
    let (local, minutes) = match time.rfind(['+', '-']) {
        None => (text.clone(), 0),
        Some(at) => {
            let (local, offset) = text.split_at_checked(10 + at)?;
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let (hours, minutes): (i64, i64) = (digits(hours)?, digits(minutes)?);
            (hours <= 23 && minutes <= 59).then_some(())?;
            let sign = if offset.starts_with('-') { -1 } else { 1 };
            (format!("{local}Z"), sign * (hours * 60 + minutes))
        }
    };
    // What is finer than a millisecond is left aside.
    let local = match local.split_once('.') {
        Some((whole, rest)) => {
            let digits = rest.trim_end_matches('Z');
            format!("{whole}.{}Z", digits.get(..digits.len().min(3))?)
        }
        None => local,
    };
    let wall: Wall = local.parse().ok()?;
    Some(Wall { ms: wall.ms.checked_sub(minutes * 60_000)?, ..wall })
}

fn digits(text: &str) -> Option<i64> {
    (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_read_with_their_offset() {
        for (text, expected) in [
            ("2021-07-21T10:00:00.000Z", Some("2021-07-21T10:00:00.000Z")),
            ("2021-07-21T12:00:00+02:00", Some("2021-07-21T10:00:00.000Z")),
            ("2021-07-21t05:00:00.123456-05:00", Some("2021-07-21T10:00:00.123Z")),
            ("2021-07-21", Some("2021-07-21T00:00:00.000Z")),
            ("2021-07-21T10:00:00", None),
            ("2021-07-21T10:00:00+2", None),
            ("2021-13-21T10:00:00Z", None),
            ("2021-07-21T10:00:00.Z", Some("2021-07-21T10:00:00.000Z")),
            ("", None),
        ] {
            assert_eq!(read(text).map(|wall| wall.to_string()).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_date_or_none(text in "\\PC{0,30}|[0-9T:.Z+-]{0,30}") {
            let _ = read(&text);
        }
    }
}
