//! The process allow-list: which station may use which function on which addresses.

use std::net::IpAddr;
use std::ops::Range;

/// A set of Modbus function codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Functions([u64; 2]);

impl Functions {
    /// Codes that the standard promises change nothing: 1-4, 7, 11, 12, 17, 20, 24 and 43 (of 43 the
    /// conduit passes only 43/14).
    pub fn reads() -> Functions {
        [1, 2, 3, 4, 7, 11, 12, 17, 20, 24, 43].into_iter().collect()
    }

    /// Whether `function` is one of them; codes above 127 never are.
    pub fn contains(self, function: u8) -> bool {
        function < 128 && self.0[usize::from(function >> 6)] & (1 << (function & 63)) != 0
    }

    /// Both sets together.
    pub fn union(self, other: Functions) -> Functions {
        Functions([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }
}

impl FromIterator<u8> for Functions {
    fn from_iter<I: IntoIterator<Item = u8>>(codes: I) -> Functions {
        let mut set = Functions::default();
        codes.into_iter().filter(|c| *c < 128).for_each(|c| set.0[usize::from(c >> 6)] |= 1 << (c & 63));
        set
    }
}

/// One rule of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Unit id it speaks of.
    pub unit: u8,
    /// Function codes it allows.
    pub functions: Functions,
    /// Addresses it allows, half open; empty: all.
    pub addresses: Vec<Range<u32>>,
    /// Stations it allows; empty: all.
    pub stations: Vec<IpAddr>,
}

/// Every rule of one conduit. What no rule allows is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    rules: Vec<Rule>,
}

/// Why the list refuses an access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// No rule names the unit.
    Unit,
    /// No rule for this unit and station allows the function.
    Function,
    /// The function is allowed, but not at these addresses.
    Address,
}

impl AllowList {
    /// A list of `rules`.
    pub fn new(rules: Vec<Rule>) -> AllowList {
        AllowList { rules }
    }

    /// Every rule, in the order of the file.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether one rule allows `function` on every one of `spans` for this station.
    pub fn check(&self, station: IpAddr, unit: u8, function: u8, spans: &[Range<u32>]) -> Result<(), Denied> {
        let mut denied = Denied::Unit;
        for rule in self.rules.iter().filter(|r| r.unit == unit) {
            if !rule.functions.contains(function)
                || !(rule.stations.is_empty() || rule.stations.contains(&station))
            {
                denied = if denied == Denied::Address { denied } else { Denied::Function };
                continue;
            }
            let inside = |s: &Range<u32>| rule.addresses.iter().any(|a| a.start <= s.start && s.end <= a.end);
            if rule.addresses.is_empty() || spans.iter().all(inside) {
                return Ok(());
            }
            denied = Denied::Address;
        }
        Err(denied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HMI: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 6));

    #[test]
    #[allow(clippy::type_complexity)] // a table, named by its columns below
    fn only_what_a_rule_names_passes() {
        let list = AllowList::new(vec![
            Rule { unit: 1, functions: Functions::reads(), addresses: vec![], stations: vec![] },
            Rule {
                unit: 1,
                functions: [6, 16].into_iter().collect(),
                addresses: vec![100..110, 200..201],
                stations: vec![HMI],
            },
        ]);
        let cases: &[(&str, IpAddr, u8, u8, &[Range<u32>], Result<(), Denied>)] = &[
            ("a read anywhere", OTHER, 1, 3, &[0..125], Ok(())),
            ("a write in the range", HMI, 1, 16, &[100..110], Ok(())),
            ("a write over its edge", HMI, 1, 16, &[109..111], Err(Denied::Address)),
            ("a write across two ranges", HMI, 1, 16, &[105..201], Err(Denied::Address)),
            ("a write by another station", OTHER, 1, 16, &[100..101], Err(Denied::Function)),
            ("another unit", HMI, 2, 3, &[0..1], Err(Denied::Unit)),
            ("another function", HMI, 1, 22, &[100..101], Err(Denied::Function)),
            ("a code that is an exception", HMI, 1, 0x83, &[], Err(Denied::Function)),
        ];
        for (what, station, unit, function, spans, expected) in cases {
            assert_eq!(list.check(*station, *unit, *function, spans), *expected, "{what}");
        }
        assert_eq!(
            AllowList::default().check(HMI, 1, 3, &[]),
            Err(Denied::Unit),
            "an empty list allows nothing"
        );
    }
}
