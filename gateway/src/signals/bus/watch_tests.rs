//! A bus under watch, fed by hand: what it tells, keeps and takes up again.
#![allow(clippy::unwrap_used)]

use std::sync::Mutex as StdMutex;

use hal::sensor::serial_line::{Format, Parity, Tap};
use hal::store::{Fuse, SimDisk};
use sensor_monitor::bus::Settings;
use sensor_monitor::rng::Rng;

use super::*;

/// A master that polls two registers of a unit, heard by the tap of a bus.
struct Rig {
    watch: Watch,
    tap: Tap,
    told: Arc<StdMutex<Vec<News>>>,
    ms: u64,
    rng: Rng,
}

fn config() -> config::Bus {
    let line = hal::sensor::serial_line::Line { baud: 19_200, bits: 11, slack: Duration::from_millis(2) };
    config::Bus {
        settings: Settings {
            window: Duration::from_secs(1),
            learning: 256,
            settles: Duration::from_secs(1),
            ..Settings::new("line-2", line)
        },
        device: "/dev/ttyS1".into(),
        format: Format { baud: 19_200, parity: Parity::Even, two_stop: false },
        reply: Duration::from_millis(200),
        units: BTreeMap::from([(7, "pump-3".to_string())]),
        level: None,
    }
}

/// CRC of Modbus over Serial Line V1.02 §6.2.2, appended.
fn rtu(pdu: &[u8]) -> Vec<u8> {
    let crc = pdu.iter().fold(0xFFFF_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0xA001 } else { c >> 1 })
    });
    [pdu, &crc.to_le_bytes()].concat()
}

impl Rig {
    fn new(store: Option<Store>) -> Rig {
        let told = Arc::new(StdMutex::new(Vec::new()));
        let also = told.clone();
        let tell = Box::new(move |news| {
            also.lock().unwrap().push(news);
            true
        });
        let config = config();
        let tap = Tap::new(config.settings.line, config.reply);
        Rig { watch: Watch::new(&config, store, Telling::new(tell)), tap, told, ms: 1000, rng: Rng::new(11) }
    }

    /// A poll of `unit` and its answer after `turnaround` ms, then a pause.
    fn poll(&mut self, unit: u8, turnaround: u64) {
        let mut events = Vec::new();
        let mut bytes = |rig: &mut Rig, frame: &[u8]| {
            for byte in rtu(frame) {
                rig.tap.bytes(Mono(rig.ms * 1_000_000), &[byte], &mut events);
                rig.ms += 1;
            }
        };
        bytes(self, &[unit, 3, 0, 0, 0, 2]);
        self.ms += turnaround;
        bytes(self, &[unit, 3, 4, 0, 1, 0, 2]);
        // Pauses differ a little, as those of any master do.
        self.ms += 10 + self.rng.bits() % 60;
        let now = Mono(self.ms * 1_000_000);
        self.tap.expire(now, &mut events);
        self.watch.take(Heard::Seen(now, events));
    }

    fn polls(&mut self, count: u64, turnaround: u64) {
        for _ in 0..count {
            let late = self.rng.bits() % 5;
            self.poll(7, turnaround + late);
        }
    }

    fn told(&self) -> Vec<News> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    fn raised(&self) -> Vec<(u16, String)> {
        let of = |n: News| if let News::Raise(_, code, text) = n { Some((code.0, text)) } else { None };
        self.told().into_iter().filter_map(of).collect()
    }
}

#[test]
fn a_line_that_cannot_be_heard_is_one_alarm_that_ends_with_it() {
    let mut rig = Rig::new(None);
    rig.watch.take(Heard::Down("/dev/ttyS1: no such device".into()));
    assert_eq!(rig.raised(), [(9006, "line-2: /dev/ttyS1: no such device".into())]);
    rig.polls(20, 12);
    assert!(rig.told().contains(&News::Clear("line-2".into(), why::SIGNAL_LOST)));
}

#[test]
fn what_is_new_or_slower_is_an_alarm_unless_an_update_explains_it() {
    let mut rig = Rig::new(None);
    let learned = (0..20).position(|_| {
        rig.polls(1000, 12);
        rig.told().iter().any(|n| matches!(n, News::Learned(id, _) if id == "line-2"))
    });
    assert!(learned.is_some(), "{:#?}", rig.watch.row().lock().unwrap());
    rig.polls(500, 12);
    assert_eq!(rig.raised(), [], "nothing changed");
    for _ in 0..5 {
        rig.poll(9, 12);
    }
    let raised = rig.raised();
    assert!(raised.iter().all(|(code, text)| *code == 9008 && text.contains("unit-9")), "{raised:?}");
    assert!(!raised.is_empty());
    let update = Update { case: 4, plc: "pump-3".into(), digest: [4; 32], again: false };
    let at = Mono(rig.ms * 1_000_000);
    rig.watch.take(Heard::Updated(at, update));
    rig.polls(9000, 18);
    let told = rig.told();
    let raised = told.iter().find(|n| matches!(n, News::Raise(_, code, _) if *code == why::BUS_CHANGED));
    assert_eq!(raised, None, "an update may change the timing");
    assert!(
        told.iter().any(|n| matches!(n, News::Told(4, text) if text.contains("turnaround +"))),
        "{told:?}"
    );
    rig.polls(600, 27);
    let raised = rig.raised();
    let (code, text) = &raised.first().expect("the same without an update is an alarm");
    assert_eq!(*code, 9005);
    assert!(text.contains("behaviour changed") && text.contains("unit-7"), "{text}");
}

#[test]
fn what_was_learned_is_taken_up_after_a_restart() {
    let disk = SimDisk::new();
    let open = || Store::open(disk.clone(), &[DIR], Fuse::never()).unwrap();
    let mut rig = Rig::new(Some(open()));
    rig.polls(9000, 12);
    drop(rig); // as after kill -9: nothing is kept on the way out
    let mut rig = Rig::new(Some(open()));
    for _ in 0..5 {
        rig.poll(9, 12);
    }
    assert!(rig.raised().iter().any(|(code, _)| *code == 9008), "it still knows who belongs here");
}

fn update_of(case: u64, again: bool) -> Update {
    Update { case, plc: "pump-3".into(), digest: [case as u8; 32], again }
}

#[test]
fn an_update_that_was_missed_when_the_gateway_died_begins_its_epoch_after_the_start_and_once() {
    // What the bus hears after its start, and the firmware of the unit then.
    let cases: [(&str, Vec<Update>, Option<u8>); 5] = [
        ("none yet", vec![update_of(NONE_YET, true)], None),
        ("one that is older than the bus", vec![update_of(5, true)], None),
        ("the first one was missed", vec![update_of(NONE_YET, true), update_of(5, true)], Some(5)),
        (
            "it is no news twice",
            vec![update_of(5, false), update_of(5, true), update_of(NONE_YET, true)],
            Some(5),
        ),
        ("another controller's", vec![Update { plc: "pump-9".into(), ..update_of(6, false) }], None),
    ];
    for (what, updates, firmware) in cases {
        let disk = SimDisk::new();
        let open = || Store::open(disk.clone(), &[DIR], Fuse::never()).unwrap();
        let mut rig = Rig::new(Some(open()));
        rig.polls(60, 12);
        for one in updates {
            rig.watch.take(Heard::Updated(Mono(rig.ms * 1_000_000), one));
            rig.watch.keep();
            // The gateway dies after each.
            rig = Rig { ms: rig.ms, ..Rig::new(Some(open())) };
        }
        let found = rig.watch.bus.fingerprint(7).and_then(|unit| unit.firmware);
        assert_eq!(found.map(|f| f.0[0]), firmware, "{what}");
    }
}

#[test]
fn a_damaged_file_is_learned_anew() {
    let disk = SimDisk::new();
    let open = || Store::open(disk.clone(), &[DIR], Fuse::never()).unwrap();
    let mut rig = Rig::new(Some(open()));
    rig.polls(60, 12);
    rig.watch.keep();
    let good = open().read("buses/line-2.cbor", MAX_KEPT).unwrap().unwrap();
    for (bytes, units) in [(&good[..good.len() / 2], 0), (b"", 0), (b"\x9f\x9f\x9f\x9f", 0), (&good, 1)] {
        open().write_atomic("buses/line-2.cbor", bytes).unwrap();
        assert_eq!(Rig::new(Some(open())).watch.bus.units().count(), units);
    }
}
