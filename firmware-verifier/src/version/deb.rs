//! Versions of Debian packages (deb-version(7); dpkg, lib/dpkg/version.c and parsehelp.c).

use std::cmp::Ordering;

use super::fits;

/// A version in its three parts.
#[derive(Debug)]
pub(super) struct DebVersion<'a> {
    epoch: u32,
    upstream: &'a str,
    revision: &'a str,
}

/// `[epoch:]upstream[-revision]`; the upstream version begins with a digit.
pub(super) fn read(text: &str) -> Option<DebVersion<'_>> {
    let text = fits(text.trim())?;
    let (epoch, rest, may_have_colon) = match text.split_once(':') {
        Some((epoch, rest)) => (number(epoch)?, rest, true),
        None => (0, text, false),
    };
    let (upstream, revision) = match rest.rsplit_once('-') {
        Some((_, "")) => return None,
        Some((upstream, revision)) => (upstream, revision),
        None => (rest, ""),
    };
    let common = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'~');
    let in_upstream = |b: u8| common(b) || b == b'-' || (b == b':' && may_have_colon);
    let readable = upstream.starts_with(|c: char| c.is_ascii_digit())
        && upstream.bytes().all(in_upstream)
        && revision.bytes().all(common);
    readable.then_some(DebVersion { epoch, upstream, revision })
}

/// dpkg takes epochs up to `INT_MAX`.
fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n: &u32| digits && i32::try_from(*n).is_ok())
}

impl DebVersion<'_> {
    pub(super) fn cmp(&self, other: &DebVersion<'_>) -> Ordering {
        let parts = |a: &str, b: &str| part(a.as_bytes(), b.as_bytes());
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| parts(self.upstream, other.upstream))
            .then_with(|| parts(self.revision, other.revision))
    }
}

/// `verrevcmp`: what is no digit by [`order`], then digits as a number, in turn.
fn part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        while starts_without_digit(a) || starts_without_digit(b) {
            match order(a.first()).cmp(&order(b.first())) {
                Ordering::Equal => (a, b) = (rest(a, 1), rest(b, 1)),
                decided => return decided,
            }
        }
        let (x, y) = (digits(a), digits(b));
        (a, b) = (rest(a, x.len()), rest(b, y.len()));
        let (x, y) = (without_zeros(x), without_zeros(y));
        match x.len().cmp(&y.len()).then_with(|| x.cmp(y)) {
            Ordering::Equal => {}
            decided => return decided,
        }
    }
    Ordering::Equal
}

fn starts_without_digit(text: &[u8]) -> bool {
    text.first().is_some_and(|b| !b.is_ascii_digit())
}

/// `~` before the end, the end and digits before letters, letters before the rest.
fn order(byte: Option<&u8>) -> i16 {
    match byte {
        None => 0,
        Some(b) if b.is_ascii_digit() => 0,
        Some(b'~') => -1,
        Some(b) if b.is_ascii_alphabetic() => i16::from(*b),
        Some(b) => i16::from(*b) + 256,
    }
}

fn digits(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    rest(digits, digits.iter().take_while(|b| **b == b'0').count())
}

fn rest(text: &[u8], from: usize) -> &[u8] {
    text.get(from..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const TEXTS: [&str; 24] = [
        "1.0",
        "1.0-1",
        "1.0-1~bpo1",
        "1.0~~",
        "1.0~~a",
        "1.0~",
        "1.0a",
        "1.0+b",
        "1:0.1",
        "2:0",
        "0:1.0",
        "1.00",
        "1.0-1.1",
        "1.0.1",
        "10",
        "9",
        "1.1.1n-0+deb11u3",
        "1.1.1n-0+deb11u10",
        "1.2-3-4",
        "1.2-3.",
        "1.0-0",
        "0a",
        "0",
        "00~",
    ];

    /// The peer is dpkg itself, where it is installed; CI has it.
    #[test]
    fn every_pair_is_ordered_as_dpkg_orders_it() {
        if Command::new("dpkg").arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "dpkg is not installed");
            eprintln!("skipped: no dpkg");
            return;
        }
        for (n, a) in TEXTS.iter().enumerate() {
            for b in &TEXTS[n..] {
                let dpkg = |relation: &str| {
                    Command::new("dpkg")
                        .args(["--compare-versions", a, relation, b])
                        .status()
                        .unwrap()
                        .success()
                };
                let expected = match (dpkg("lt"), dpkg("eq")) {
                    (true, _) => Ordering::Less,
                    (_, true) => Ordering::Equal,
                    _ => Ordering::Greater,
                };
                assert_eq!(read(a).unwrap().cmp(&read(b).unwrap()), expected, "{a} {b}");
                assert_eq!(read(b).unwrap().cmp(&read(a).unwrap()), expected.reverse(), "{b} {a}");
            }
        }
    }

    #[test]
    fn what_is_no_debian_version_is_not_read() {
        for text in ["", "a1", ":1", "x:1", "+1:1", "99999999999:1", "1-", "1_2", "1:", "1.0-1_2", "1-1:2"] {
            assert!(read(text).is_none(), "{text:?}");
        }
        assert!(read("1:1:2").is_some(), "a colon behind an epoch");
    }
}
