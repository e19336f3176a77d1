//! Times as people write them into CSV files.

use crate::clock::Wall;

/// Longest text of a time, in bytes.
const MAX_TEXT: usize = 40;
const NS_PER_S: i64 = 1_000_000_000;

/// Nanoseconds of seconds (`12.5`, `1e-3`), of RFC 3339, or of `YYYY-MM-DD hh:mm:ss[.fraction]`, which is taken as
/// UTC when it names no offset. `None` for anything else, for leap seconds, and outside 64 bits. Digits of a
/// fraction beyond the ninth are cut off.
pub fn parse_time(text: &str) -> Option<i64> {
    let text = Some(text.trim()).filter(|t| t.len() <= MAX_TEXT && t.is_ascii())?;
    match text.as_bytes() {
        [_, _, _, _, b'-', ..] => date_time(text),
        _ => seconds(text),
    }
}

fn seconds(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if !whole.is_empty() && plain(whole) && plain(part) {
        return whole
            .parse::<i64>()
            .ok()?
            .checked_mul(NS_PER_S)?
            .checked_add(fraction(part)?)?
            .checked_mul(sign);
    }
    // An exponent: what a float can say.
    let number = digits.starts_with(|c: char| c.is_ascii_digit()).then_some(digits)?;
    let ns = (number.parse::<f64>().ok()? * NS_PER_S as f64).round();
    (ns.abs() < 9.2e18).then_some(ns as i64 * sign)
}

/// Nanoseconds of the digits after a decimal point.
fn fraction(digits: &str) -> Option<i64> {
    let digits = digits.get(..9).unwrap_or(digits);
    format!("{digits:0<9}").parse().ok()
}

fn date_time(text: &str) -> Option<i64> {
    const FORM: &[u8] = b"0000-00-00T00:00:00";
    let (head, rest) = text.split_at_checked(FORM.len())?;
    let fits = head.bytes().zip(FORM).all(|(byte, form)| match form {
        b'0' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't' | b' '),
        other => byte == *other,
    });
    if !fits {
        return None;
    }
    let wall: Wall = format!("{}T{}Z", &head[..10], &head[11..]).parse().ok()?;
    let (part, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (digits, zone) = rest.split_at(end);
            (Some(digits).filter(|d| !d.is_empty())?, zone)
        }
        None => ("", rest),
    };
    let ns = wall.ms.checked_mul(1_000_000)?.checked_add(fraction(part)?)?;
    ns.checked_sub(offset(zone)?.checked_mul(NS_PER_S)?)
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes() {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let (hours, minutes) = zone[1..].split_once(':')?;
    let two = |t: &str| t.parse::<i64>().ok().filter(|_| t.len() == 2 && !t.starts_with(['+', '-']));
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let day = 1_396_310_400_000_000_000; // date -u -d 2014-04-01 +%s
        let rows = [
            ("0", Some(0)),
            ("12.5", Some(12_500_000_000)),
            ("1396310400.123456789", Some(day + 123_456_789)),
            ("-0.25", Some(-250_000_000)),
            ("1e-3", Some(1_000_000)),
            ("2014-04-01 00:00:00", Some(day)),
            (" 2014-04-01T00:05:00Z ", Some(day + 300 * NS_PER_S)),
            ("2014-04-01t02:00:00.5+02:00", Some(day + 500_000_000)),
            ("2014-03-31 23:30:00.1234567899-00:30", Some(day + 123_456_789)),
            ("2262-04-11 23:47:16.854775807", Some(i64::MAX)),
            ("2262-04-11 23:47:16.854775808", None),
            ("9223372037", None),
            ("1e300", None),
            ("nan", None),
            ("", None),
            (".", None),
            ("2014-02-29 00:00:00", None),
            ("2016-12-31 23:59:60", None),
            ("2014-04-01", None),
            ("2014-04-01 00:00", None),
            ("2014-04-01 00:00:00.", None),
            ("2014-04-01 00:00:00+2:00", None),
            ("2014-04-01 00:00:00 CET", None),
            ("2014-04-01 00:00:00+24:00", None),
            ("2014/04/01 00:00:00", None),
            ("--1", None),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_time(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_time_that_is_written_is_read_back(ms in 0..9_000_000_000_000_i64, any in "\\PC{0,45}") {
            prop_assert_eq!(parse_time(&Wall::trusted(ms).to_string()), Some(ms * 1_000_000));
            prop_assert_eq!(parse_time(&format!("{}.{:03}", ms / 1000, ms % 1000)), Some(ms * 1_000_000));
            let _ = parse_time(&any);
        }
    }
}
