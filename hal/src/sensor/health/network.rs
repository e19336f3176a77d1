//! What goes wrong on the gateway's network interfaces: `/proc/net/dev`.

use super::{Reading, Unit, part};
use crate::sensor::{SourceError, Tree};

/// Most interfaces that are listed.
pub const MAX_INTERFACES: usize = 64;

/// Counts of one interface since its driver was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name, at most 15 bytes (IFNAMSIZ).
    pub name: String,
    /// Frames received.
    pub rx_packets: u64,
    /// Frames received with an error.
    pub rx_errors: u64,
    /// Frames received and dropped for want of room or of someone to take them.
    pub rx_drops: u64,
    /// Frames the hardware could not store.
    pub rx_overruns: u64,
    /// Frames with a wrong checksum or alignment: the cable.
    pub rx_frame: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Frames that could not be sent.
    pub tx_errors: u64,
    /// Frames dropped before they were sent.
    pub tx_drops: u64,
    /// Times the carrier was lost while sending.
    pub tx_carrier: u64,
}

/// The table of the kernel: two lines of titles, then `name:` and 16 counts. Lines of another form are passed
/// over, as are those after [`MAX_INTERFACES`]; `None` when the titles are not those of the table.
pub fn parse_interfaces(text: &str) -> Option<Vec<Interface>> {
    let mut lines = text.lines();
    let titles = (lines.next()?, lines.next()?);
    let known = titles.0.contains("Receive") && titles.1.contains("|bytes") && titles.1.contains("carrier");
    known.then(|| lines.filter_map(interface).take(MAX_INTERFACES).collect())
}

fn interface(line: &str) -> Option<Interface> {
    // A name may hold a colon (an old alias); the counts never do.
    let (name, counts) = line.rsplit_once(':')?;
    let name = name.trim();
    let mut numbers = [0; 16];
    let mut words = counts.split_ascii_whitespace();
    for number in &mut numbers {
        *number = words.next()?.parse().ok()?;
    }
    let [
        _,
        rx_packets,
        rx_errors,
        rx_drops,
        rx_overruns,
        rx_frame,
        _,
        _,
        _,
        tx_packets,
        tx_errors,
        tx_drops,
        _,
        _,
        tx_carrier,
        _,
    ] = numbers;
    let fits = words.next().is_none() && (1..=15).contains(&name.len());
    fits.then(|| Interface {
        name: name.to_owned(),
        rx_packets,
        rx_errors,
        rx_drops,
        rx_overruns,
        rx_frame,
        tx_packets,
        tx_errors,
        tx_drops,
        tx_carrier,
    })
}

pub(super) fn read(proc: &Tree, reading: &mut Reading<'_>) {
    let Some(text) = reading.take(proc.text("net/dev")) else { return };
    let fault = || SourceError::unexpected("net/dev", &text, "the table of network interfaces");
    for interface in reading.take(parse_interfaces(&text).ok_or_else(fault)) {
        if interface.name == "lo" {
            continue;
        }
        for (count, what) in [
            (interface.rx_packets, "rx-packets"),
            (interface.rx_errors, "rx-errors"),
            (interface.rx_drops, "rx-drops"),
            (interface.rx_overruns, "rx-overruns"),
            (interface.rx_frame, "rx-frame"),
            (interface.tx_packets, "tx-packets"),
            (interface.tx_errors, "tx-errors"),
            (interface.tx_drops, "tx-drops"),
            (interface.tx_carrier, "tx-carrier"),
        ] {
            reading.add(format!("network.{}.{what}", part(&interface.name)), Unit::Count, count as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // net/core/net-procfs.c, dev_seq_show.
    const TITLES: &str = "Inter-|   Receive                                                |  Transmit\n \
        face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";

    #[test]
    fn the_kernels_table_is_read() {
        let text = format!(
            "{TITLES}    lo: 1 2 0 0 0 0 0 0 1 2 0 0 0 0 0 0\n  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
        );
        let found = parse_interfaces(&text).unwrap_or_default();
        assert_eq!(found.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["lo", "eth0"]);
        let eth0 = &found[1];
        assert_eq!(
            [eth0.rx_packets, eth0.rx_errors, eth0.rx_drops, eth0.rx_overruns, eth0.rx_frame],
            [2, 3, 4, 5, 6]
        );
        assert_eq!([eth0.tx_packets, eth0.tx_errors, eth0.tx_drops, eth0.tx_carrier], [10, 11, 12, 15]);
        assert_eq!(parse_interfaces(""), None);
        assert_eq!(parse_interfaces("a\nb\neth0: 1 2"), None);
        for line in [
            "eth0: 1 2 3",
            "eth0 1 2",
            ": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
            "e: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17",
            "e: -1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
        ] {
            assert_eq!(parse_interfaces(&format!("{TITLES}{line}")), Some(vec![]), "{line}");
        }
    }

    proptest! {
        #[test]
        fn counts_that_are_written_are_read_back(
            name in "[a-z][a-z0-9.@-]{0,14}", counts in proptest::array::uniform16(any::<u64>()), any in "\\PC{0,200}",
            rows in 1..100_usize,
        ) {
            let numbers: Vec<String> = counts.iter().map(u64::to_string).collect();
            let line = format!("{name:>6}: {}\n", numbers.join("   "));
            let found = parse_interfaces(&format!("{TITLES}{}", line.repeat(rows))).unwrap_or_default();
            prop_assert_eq!(found.len(), rows.min(MAX_INTERFACES));
            prop_assert_eq!((&found[0].name, found[0].rx_drops, found[0].tx_carrier), (&name, counts[3], counts[14]));
            let _ = parse_interfaces(&format!("{TITLES}{any}"));
            let _ = parse_interfaces(&any);
        }
    }
}
