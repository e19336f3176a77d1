//! Public Modbus captures, replayed through an observing conduit: what passes is what was captured.
//!
//! The captures are not part of this repository; `HEADGATE_VECTORS` names the folder that has them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway::protocol::modbus::conduit::{Conduit, Settings};
use gateway::protocol::modbus::frame;
use gateway::protocol::modbus::pdu::Request;
use gateway::shield::allow::AllowList;
use gateway::transfer::engine::Way;
use gateway::transfer::event::Station;
use hal::clock::Mono;

/// Folders of the collection that hold Modbus/TCP.
const FOLDERS: &[&str] = &[
    "pcap-iti/ModbusTCP",
    "pcap-iti/bro/modbus",
    "pcap-iti/quickdraw",
    "pcap-icsnpp-modbus",
    "pcap-suricata-verify/modbus",
];

#[derive(Debug, Default)]
struct Counts {
    files: u64,
    conversations: u64,
    requests: u64,
    replies: u64,
    /// Requests the parser refuses, and why; observing, they pass all the same.
    malformed: Vec<String>,
    /// Function codes of requests, with how many the parser does not know.
    functions: BTreeMap<u8, u64>,
    other: BTreeMap<u8, u64>,
    /// Conversations by what is odd about them; those are compared up to there.
    odd: BTreeMap<String, u64>,
}

#[test]
fn an_observing_conduit_passes_what_was_captured_unchanged() {
    let Some(vectors) = std::env::var_os("HEADGATE_VECTORS").map(PathBuf::from) else {
        println!("skipped: HEADGATE_VECTORS names no folder of captures");
        return;
    };
    let mut counts = Counts::default();
    for file in FOLDERS.iter().flat_map(|folder| captures(&vectors.join(folder))) {
        counts.files += 1;
        for conversation in conversations(&std::fs::read(&file).unwrap()).into_values() {
            counts.conversations += 1;
            let name = file.display().to_string();
            if let Some(odd) = replay(&conversation, &name, &mut counts) {
                *counts.odd.entry(odd).or_default() += 1;
            }
        }
    }
    println!("{counts:?}");
    assert!(counts.files > 0, "no captures in {}", vectors.display());
    assert!(counts.requests > 100);
}

fn captures(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.extension() {
            _ if path.is_dir() => found.extend(captures(&path)),
            Some(end) if end == "pcap" => found.push(path),
            _ => {}
        }
    }
    found.sort();
    found
}

/// Who said what next; `true`: the station.
type Conversation = Vec<(bool, Vec<u8>)>;

/// One conversation through one conduit. Says what is odd where it had to stop before the end.
fn replay(conversation: &Conversation, name: &str, counts: &mut Counts) -> Option<String> {
    let settings = Settings {
        unit: 1,
        way: Way::Match,
        enforce: false,
        max_stations: 1,
        safety: false,
        max_per_address: 1,
        longest_transfer: Duration::from_secs(3600),
        in_flight: 16,
        reply: Duration::from_secs(1),
        poll_every: None,
    };
    let now = Mono(1);
    let mut conduit = Conduit::new(settings, AllowList::default(), None, now);
    conduit.controller_connected(now);
    let station = conduit.station_connected(Station(IpAddr::V4(Ipv4Addr::LOCALHOST))).unwrap();
    // Captured bytes not yet whole frames, and requests the controller has not answered: the captured
    // transaction and the conduit's.
    let (mut from_station, mut from_controller) = (Vec::new(), Vec::new());
    let mut unanswered: VecDeque<(u16, u16)> = VecDeque::new();
    let (mut expected, mut arrived) = (Vec::new(), Vec::new());
    for (is_station, bytes) in conversation {
        if *is_station {
            from_station.extend_from_slice(bytes);
            conduit.station_received(station, bytes, now);
            let sent = std::mem::take(conduit.controller_output());
            let mut sent = &sent[..];
            loop {
                match frame::first(&from_station) {
                    Ok(Some((asked, used))) => {
                        counts.request(asked.pdu);
                        let (passed, taken) = frame::first(sent)
                            .unwrap()
                            .unwrap_or_else(|| panic!("{name}: {asked:02X?} did not reach the controller"));
                        assert_eq!((passed.unit, passed.pdu), (asked.unit, asked.pdu), "{name}");
                        unanswered.push_back((asked.tid, passed.tid));
                        sent = &sent[taken..];
                        from_station.drain(..used);
                    }
                    Ok(None) => break,
                    Err(e) => {
                        assert!(conduit.is_broken(station), "{name}");
                        return Some(format!("the station: {e}"));
                    }
                }
            }
            assert!(sent.is_empty(), "{name}: more reached the controller than was asked");
            continue;
        }
        from_controller.extend_from_slice(bytes);
        loop {
            match frame::first(&from_controller) {
                Ok(Some((reply, used))) => {
                    // Only a reply to a request in the capture can be replayed, and only in its turn.
                    let Some(&(tid, ours)) = unanswered.front() else {
                        return Some("a reply to nothing in the capture".into());
                    };
                    if tid != reply.tid {
                        return Some("replies that are not in the order of the requests".into());
                    }
                    unanswered.pop_front();
                    counts.replies += 1;
                    let mut adu = Vec::new();
                    frame::append(&mut adu, ours, reply.unit, reply.pdu);
                    conduit.controller_received(&adu, now);
                    expected.extend_from_slice(&from_controller[..used]);
                    from_controller.drain(..used);
                    if !conduit.is_controller_up() {
                        return Some("a reply for another unit or function than asked".into());
                    }
                    arrived.append(conduit.station_output(station).unwrap());
                    assert_eq!(arrived, expected, "{name}: what the station hears");
                }
                Ok(None) => break,
                Err(e) => return Some(format!("the controller: {e}")),
            }
        }
    }
    (!from_station.is_empty() || !from_controller.is_empty())
        .then(|| "the capture ends within a frame".into())
}

impl Counts {
    fn request(&mut self, pdu: &[u8]) {
        self.requests += 1;
        *self.functions.entry(pdu[0]).or_default() += 1;
        match Request::parse(pdu) {
            Ok(Request::Other) => *self.other.entry(pdu[0]).or_default() += 1,
            Ok(_) => {}
            Err(e) => self.malformed.push(format!("{pdu:02X?}: {e}")),
        }
    }
}

/// The TCP conversations with port 502 in a capture of Ethernet frames, each in the order of its bytes.
fn conversations(pcap: &[u8]) -> BTreeMap<(Vec<u8>, u16, Vec<u8>), Conversation> {
    assert_eq!(pcap[..4], [0xD4, 0xC3, 0xB2, 0xA1], "a little-endian capture with microseconds");
    assert_eq!(pcap[20], 1, "of Ethernet");
    let mut all: BTreeMap<_, Conversation> = BTreeMap::new();
    let mut next: BTreeMap<_, u32> = BTreeMap::new();
    let mut rest = &pcap[24..];
    while let Some((header, after)) = rest.split_at_checked(16) {
        let len = u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize;
        let Some((packet, after)) = after.split_at_checked(len) else { break };
        rest = after;
        let Some(segment) = segment(packet) else { continue };
        let (is_station, station, port, controller) = match (segment.from.1, segment.to.1) {
            (_, MODBUS) => (true, segment.from.0, segment.from.1, segment.to.0),
            (MODBUS, _) => (false, segment.to.0, segment.to.1, segment.from.0),
            _ => continue,
        };
        let key = (station, port, controller);
        let place = next.entry((key.clone(), is_station)).or_insert(segment.sequence);
        if segment.starts {
            *place = segment.sequence.wrapping_add(1);
            continue;
        }
        // What was sent again is known; what is missing cannot be made up.
        let known = place.wrapping_sub(segment.sequence) as usize;
        if segment.payload.is_empty() || (known >= segment.payload.len() && known < 1 << 20) {
            continue;
        }
        let fresh = if known < 1 << 20 { &segment.payload[known..] } else { segment.payload };
        *place = segment.sequence.wrapping_add(segment.payload.len() as u32);
        all.entry(key).or_default().push((is_station, fresh.to_vec()));
    }
    all
}

struct Segment<'a> {
    from: (Vec<u8>, u16),
    to: (Vec<u8>, u16),
    sequence: u32,
    starts: bool,
    payload: &'a [u8],
}

/// TCP over IPv4 over Ethernet; `None` for anything else.
fn segment(packet: &[u8]) -> Option<Segment<'_>> {
    let word = |bytes: &[u8], at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let ip = match word(packet, 12)? {
        0x0800 => packet.get(14..)?,
        0x8100 if word(packet, 16)? == 0x0800 => packet.get(18..)?,
        _ => return None,
    };
    let whole = ip.get(..usize::from(word(ip, 2)?))?;
    let tcp = whole.get(4 * usize::from(*ip.first()? & 15)..)?;
    if ip.get(9) != Some(&6) {
        return None;
    }
    Some(Segment {
        from: (ip.get(12..16)?.to_vec(), word(tcp, 0)?),
        to: (ip.get(16..20)?.to_vec(), word(tcp, 2)?),
        sequence: u32::from_be_bytes(tcp.get(4..8)?.try_into().ok()?),
        starts: tcp.get(13)? & 2 != 0,
        payload: tcp.get(4 * usize::from(tcp.get(12)? >> 4)..)?,
    })
}

/// The port of Modbus/TCP.
const MODBUS: u16 = 502;
