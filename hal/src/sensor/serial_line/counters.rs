//! What the kernel's serial driver has counted: `/proc/tty/driver/<driver>`.
//!
//! The ioctl TIOCGICOUNT would say it for one open port, but needs unsafe code, as rustix does not wrap it. The
//! table is written by `uart_line_info` of the kernel's serial core and shows the counts to CAP_SYS_ADMIN
//! only; ports of USB adapters are not in it.

use super::super::{SourceError, Tree};

/// Where the kernel's serial drivers list their ports, one file for each driver: `serial` for the 8250
/// family, `ttyAMA` for the PL011, `IMX-uart` for i.MX.
pub const DRIVERS: &str = "/proc/tty/driver";
/// Every driver of terminals, with the names that its devices have.
pub const TABLE: &str = "/proc/tty/drivers";
/// Most lines of a table that are looked at.
pub const MAX_LINES: usize = 512;

/// Driver and port of a device such as `/dev/ttyS1`, by the text of [`TABLE`] (`show_tty_range` of the kernel's
/// tty core); `None` when no driver there has such devices.
pub fn find(table: &str, device: &str) -> Option<(String, u32)> {
    table.lines().take(MAX_LINES).find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (driver, prefix) = (words.next()?, words.next()?);
        let port = device.strip_prefix(prefix)?;
        let is_name = !driver.contains('/') && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        is_name.then(|| port.parse().ok().map(|port| (driver.to_owned(), port))).flatten()
    })
}

/// Counts of one port since its driver was loaded. They are 32 bits wide and wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Characters sent.
    pub sent: u32,
    /// Characters received.
    pub received: u32,
    /// Framing errors: no stop bit where one should be.
    pub framing: u32,
    /// Parity errors.
    pub parity: u32,
    /// Breaks: a line held at 0 for longer than a character.
    pub breaks: u32,
    /// Characters lost in the UART, as nobody fetched them in time.
    pub overruns: u32,
    /// Characters lost in the driver's buffer.
    pub buffer_overruns: u32,
}

impl Counters {
    /// The counts of `port` (the number before the colon) in the text of a table; `None` when it is not there
    /// or shows no counts.
    pub fn parse(table: &str, port: u32) -> Option<Counters> {
        let line = table.lines().take(MAX_LINES).find_map(|line| {
            let (number, rest) = line.split_once(':')?;
            (number.trim().parse() == Ok(port)).then_some(rest)
        })?;
        let mut counters = Counters::default();
        let mut shown = false;
        for word in line.split_ascii_whitespace() {
            let Some((name, count)) = word.split_once(':') else { continue };
            let place = match name {
                "tx" => &mut counters.sent,
                "rx" => &mut counters.received,
                "fe" => &mut counters.framing,
                "pe" => &mut counters.parity,
                "brk" => &mut counters.breaks,
                "oe" => &mut counters.overruns,
                "bo" => &mut counters.buffer_overruns,
                _ => continue,
            };
            // Printed with %d: a count of 2^31 and more has a minus sign.
            *place = match count.parse::<i64>() {
                Ok(count) if (i64::from(i32::MIN)..=i64::from(u32::MAX)).contains(&count) => count as u32,
                _ => return None,
            };
            shown |= matches!(name, "tx" | "rx");
        }
        shown.then_some(counters)
    }

    /// The counts of `port` of `driver`, below a tree such as [`DRIVERS`]; `None` as for [`Counters::parse`].
    ///
    /// # Errors
    /// [`SourceError`] when the table is there and cannot be read.
    pub fn read(drivers: &Tree, driver: &str, port: u32) -> Result<Option<Counters>, SourceError> {
        Ok(drivers.text(driver)?.and_then(|table| Counters::parse(&table, port)))
    }

    /// What was counted since `before`, over a wrap too.
    #[must_use]
    pub fn since(self, before: Counters) -> Counters {
        Counters {
            sent: self.sent.wrapping_sub(before.sent),
            received: self.received.wrapping_sub(before.received),
            framing: self.framing.wrapping_sub(before.framing),
            parity: self.parity.wrapping_sub(before.parity),
            breaks: self.breaks.wrapping_sub(before.breaks),
            overruns: self.overruns.wrapping_sub(before.overruns),
            buffer_overruns: self.buffer_overruns.wrapping_sub(before.buffer_overruns),
        }
    }

    /// All that went wrong.
    pub fn errors(&self) -> u64 {
        [self.framing, self.parity, self.breaks, self.overruns, self.buffer_overruns]
            .map(u64::from)
            .iter()
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // The form of drivers/tty/serial/serial_core.c, uart_line_info.
    const TABLE: &str = "serinfo:1.0 driver revision:\n\
        0: uart:16550A port:000003F8 irq:4 tx:1210 rx:-2147483648 fe:3 pe:2 brk:1 oe:7 bo:9 RTS|CTS|DTR\n\
        1: uart:unknown port:000002F8 irq:3\n\
        2: uart:PL011 rev2 mmio:0x09000000 irq:13 tx:5 rx:0 RTS\n\
        3: uart:16550A port:000003E8 irq:4 tx:x rx:0\n";

    #[test]
    fn the_kernels_table_is_read_and_a_port_without_counts_is_none() {
        let zero = Counters::parse(TABLE, 0);
        let all = Counters {
            sent: 1210,
            received: 1 << 31,
            framing: 3,
            parity: 2,
            breaks: 1,
            overruns: 7,
            buffer_overruns: 9,
        };
        assert_eq!(zero, Some(all));
        assert_eq!(Counters::parse(TABLE, 2).map(|c| (c.sent, c.errors())), Some((5, 0)));
        for port in [1, 3, 4] {
            assert_eq!(Counters::parse(TABLE, port), None, "{port}");
        }
        let later = Counters { received: 1, ..all };
        assert_eq!(later.since(all).received, (1 << 31) + 1);
    }

    #[test]
    fn a_device_belongs_to_the_driver_that_names_it() {
        let table = "/dev/tty             /dev/tty        5       0 system:/dev/tty\n\
            serial               /dev/ttyS       4 64-111 serial\n\
            usbserial            /dev/ttyUSB   188 0-511 serial\n\
            pty_slave            /dev/pts      136 0-1048575 pty:slave\n";
        for (device, expected) in [
            ("/dev/ttyS1", Some(("serial", 1))),
            ("/dev/ttyUSB12", Some(("usbserial", 12))),
            ("/dev/ttyS", None),
            ("/dev/pts/4", None),
            ("/dev/tty9999999999", None),
            ("", None),
        ] {
            let found = find(table, device);
            assert_eq!(found.as_ref().map(|(d, p)| (d.as_str(), *p)), expected, "{device}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_counts_or_none(text in "\\PC{0,80}|[0-9]: (tx|rx|fe|oe):-?[0-9]{1,30} (tx|pe):[0-9]{1,12}") {
            let _ = Counters::parse(&text, 0);
            let _ = find(&text, "/dev/ttyS0");
        }
    }
}
