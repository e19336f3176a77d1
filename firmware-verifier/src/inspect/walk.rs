//! Going through an image: what is a container is unpacked and gone through in turn; what lies between containers is
//! searched for components.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::ops::Range;

use aho_corasick::AhoCorasick;
use hal::reason::ReasonCode;

use super::packages::{self, Systems};
use super::place::Place;
use super::report::{By, Container, Finding, Found, Occurrence, Report};
use super::signature::Texts;
use super::{Limits, cpio, elf, fdt, hex_records, squashfs, squeeze, tar, uimage};
use crate::reasons;

/// What became of looking at a place as a container of some kind.
pub(super) enum Tried {
    /// It is none.
    Not,
    /// It is one; so many bytes belong to it.
    Done(usize),
    /// It is one that cannot be unpacked, or not to its end.
    Damaged(String),
}

/// One kind of container.
struct Format {
    name: &'static str,
    /// By which it is found.
    magic: &'static [u8],
    /// Where in it that stands.
    at: usize,
    /// Whether so long a mark is no accident: then damage is told wherever it is, else only at the start.
    sure: bool,
    unpack: fn(&mut Walk<'_>, &[u8], &Place, usize) -> Tried,
}

/// Containers that are looked for at every offset.
const FORMATS: &[Format] = &[
    Format { name: "gzip", magic: b"\x1f\x8b\x08", at: 0, sure: false, unpack: squeeze::gzip },
    Format { name: "xz", magic: b"\xfd7zXZ\0", at: 0, sure: true, unpack: squeeze::xz },
    Format { name: "zstd", magic: b"\x28\xb5\x2f\xfd", at: 0, sure: false, unpack: squeeze::zstd },
    Format { name: "lz4", magic: b"\x04\x22\x4d\x18", at: 0, sure: false, unpack: squeeze::lz4 },
    Format {
        name: "lz4-legacy",
        magic: b"\x02\x21\x4c\x18",
        at: 0,
        sure: false,
        unpack: squeeze::lz4_legacy,
    },
    Format { name: "lzma", magic: b"\x5d\0\0", at: 0, sure: false, unpack: squeeze::lzma },
    Format { name: "lzma", magic: b"\x6d\0\0", at: 0, sure: false, unpack: squeeze::lzma },
    Format { name: "squashfs", magic: b"hsqs", at: 0, sure: false, unpack: squashfs::unpack },
    Format { name: "cpio", magic: b"070701", at: 0, sure: true, unpack: cpio::unpack },
    Format { name: "cpio", magic: b"070702", at: 0, sure: true, unpack: cpio::unpack },
    Format { name: "tar", magic: b"ustar", at: 257, sure: false, unpack: tar::unpack },
    Format { name: "uimage", magic: b"\x27\x05\x19\x56", at: 0, sure: true, unpack: uimage::unpack },
    Format { name: "fdt", magic: b"\xd0\x0d\xfe\xed", at: 0, sure: false, unpack: fdt::unpack },
];

/// Most findings that are told one by one; what follows is more of the same.
const MAX_FINDINGS: usize = 64;
/// Most places of one component.
const MAX_OCCURRENCES: usize = 8;

/// One walk through one image.
pub(super) struct Walk<'l> {
    pub(super) limits: &'l Limits,
    report: Report,
    components: BTreeMap<(String, Option<String>, Option<String>), Found>,
    packages: packages::Packages,
    systems: Systems,
    texts: Texts,
    marks: AhoCorasick,
    attempts: usize,
    work: u64,
    /// A limit of the whole was reached: nothing more is unpacked.
    stopped: bool,
}

/// What a decoder gave.
pub(super) struct Expanded {
    pub(super) bytes: Vec<u8>,
    /// Why it gave no more, where that was not its end.
    pub(super) error: Option<String>,
    /// Whether that was a limit.
    pub(super) limit: bool,
}

impl<'l> Walk<'l> {
    pub(super) fn new(limits: &'l Limits) -> Walk<'l> {
        let marks = AhoCorasick::new(FORMATS.iter().map(|f| f.magic));
        Walk {
            limits,
            report: Report::default(),
            components: BTreeMap::new(),
            packages: packages::Packages::default(),
            systems: Systems::default(),
            texts: Texts::new(),
            marks: marks.expect("a few short marks make an automaton"),
            attempts: 0,
            work: 0,
            stopped: false,
        }
    }

    pub(super) fn finish(mut self) -> Report {
        for found in std::mem::take(&mut self.packages).resolved(&self.systems) {
            self.found(found);
        }
        // A function says less than a text of the same component.
        let said: BTreeSet<String> =
            self.components.values().filter(|f| f.version.is_some()).map(|f| f.name.clone()).collect();
        let all = self.components.into_values();
        self.report.components = all.filter(|f| f.version.is_some() || !said.contains(&f.name)).collect();
        self.report
    }

    /// Looks at some bytes: the image, or what came out of a container.
    pub(super) fn item(&mut self, bytes: &[u8], place: &Place, depth: usize) {
        if depth > self.limits.depth {
            let text = format!("a container more than {} deep in others", self.limits.depth);
            return self.finding(reasons::UNPACKS_TO_TOO_MUCH, place, text, true);
        }
        // The same bytes may be named again and again.
        if !self.work(place, bytes.len() as u64) {
            return;
        }
        let taken = if hex_records::unpack(self, bytes, place, depth) {
            vec![0..bytes.len()]
        } else {
            self.containers(bytes, place, depth)
        };
        elf::look(self, bytes, place);
        for gap in gaps(&taken, bytes.len()) {
            self.search(bytes, gap, place);
        }
    }

    /// A file of an archive or file system: also what its name says it is.
    pub(super) fn file(&mut self, bytes: &[u8], archive: &Place, name: &str, depth: usize) {
        let place = archive.entry(name);
        packages::read(&mut self.packages, &mut self.systems, bytes, archive, name, self.limits);
        self.item(bytes, &place, depth);
    }

    /// Unpacks the containers in `bytes` from front to back; what they take up.
    fn containers(&mut self, bytes: &[u8], place: &Place, depth: usize) -> Vec<Range<usize>> {
        let mut taken: Vec<Range<usize>> = Vec::new();
        let mut next = 0;
        if let Tried::Done(len) = self.attempt("zlib", squeeze::zlib, bytes, 0, place, depth, false) {
            taken.push(0..len);
            next = len;
        }
        let marks = self.marks.clone(); // shares its tables
        let mut from = next;
        while let Some(found) = bytes.get(from..).and_then(|rest| marks.find(rest)) {
            if self.stopped {
                break;
            }
            let mark = from + found.start();
            from = mark + 1;
            let Some(format) = FORMATS.get(found.pattern().as_usize()) else { continue };
            let Some(start) = mark.checked_sub(format.at).filter(|start| *start >= next) else { continue };
            let told = start == 0 || format.sure;
            if let Tried::Done(len) =
                self.attempt(format.name, format.unpack, bytes, start, place, depth, told)
            {
                let end = start.saturating_add(len.max(1)).min(bytes.len());
                taken.push(start..end);
                (next, from) = (end, from.max(end));
            }
        }
        taken
    }

    #[expect(clippy::too_many_arguments, reason = "what, where, and whether to tell")]
    fn attempt(
        &mut self,
        name: &'static str,
        unpack: fn(&mut Walk<'_>, &[u8], &Place, usize) -> Tried,
        bytes: &[u8],
        start: usize,
        place: &Place,
        depth: usize,
        told: bool,
    ) -> Tried {
        let Some(rest) = bytes.get(start..) else { return Tried::Not };
        let inner = place.container(name, start);
        let tried = unpack(self, rest, &inner, depth);
        match &tried {
            Tried::Not => {}
            Tried::Damaged(_) | Tried::Done(_) => self.attempts += 1,
        }
        if let (Tried::Damaged(text), true) = (&tried, told) {
            self.finding(reasons::CONTAINER_DAMAGED, &inner, text.clone(), true);
        }
        if self.attempts > self.limits.attempts {
            let text = format!("more than {} places that look like containers", self.limits.attempts);
            self.stop(place, text);
        }
        tried
    }

    /// Searches a part of `bytes` for texts of components.
    fn search(&mut self, bytes: &[u8], part: Range<usize>, place: &Place) {
        let texts = self.texts.clone(); // shares its tables
        for mut found in texts.find(bytes, part) {
            found.occurrences.iter_mut().for_each(|o| o.place = place.text().into());
            self.found(found);
        }
    }

    /// Keeps a component, together with what is known of it already.
    pub(super) fn found(&mut self, found: Found) {
        let key = (found.name.clone(), found.version.clone(), found.purl.clone());
        if let Some(known) = self.components.get_mut(&key) {
            if found.confidence > known.confidence {
                (known.confidence, known.by) = (found.confidence, found.by);
            }
            let room = MAX_OCCURRENCES.saturating_sub(known.occurrences.len());
            known.occurrences.extend(found.occurrences.into_iter().take(room));
        } else if self.components.len() < self.limits.reported {
            self.components.insert(key, found);
        } else {
            let text = format!("more than {} components", self.limits.reported);
            self.finding(reasons::UNPACKS_TO_TOO_MUCH, &Place::image(), text, true);
        }
    }

    /// A component that `place` has at `offset`.
    pub(super) fn symbol(&mut self, mut found: Found, place: &Place, offset: u64, evidence: &str) {
        found.by = By::Symbol;
        found.occurrences =
            vec![Occurrence { place: place.text().into(), offset, evidence: evidence.into() }];
        self.found(found);
    }

    pub(super) fn container(&mut self, place: &Place, what: impl Into<String>) {
        if self.report.containers.len() < self.limits.reported {
            self.report.containers.push(Container { place: place.text().into(), what: what.into() });
        }
    }

    pub(super) fn finding(&mut self, code: ReasonCode, place: &Place, text: String, leaves_out: bool) {
        let findings = &mut self.report.findings;
        if findings.len() == MAX_FINDINGS {
            let text = format!("more than {MAX_FINDINGS} findings; the others are not told");
            let place = String::new();
            return findings.push(Finding { code, place, text, leaves_out: true });
        }
        let finding = Finding { code, place: place.text().into(), text, leaves_out };
        if findings.len() < MAX_FINDINGS && !findings.contains(&finding) {
            findings.push(finding);
        }
    }

    /// One more file, link or folder; `false` when there are too many.
    pub(super) fn entry(&mut self, place: &Place) -> bool {
        self.report.entries += 1;
        if self.report.entries > self.limits.entries as u64 {
            self.stop(place, format!("more than {} files, links and folders", self.limits.entries));
        }
        !self.stopped
    }

    /// A name in an archive, and where a link under that name leads.
    pub(super) fn name(&mut self, place: &Place, name: &[u8], link: Option<&[u8]>) {
        if name.len() > self.limits.name {
            let text = format!("a name of {} bytes; at most {}", name.len(), self.limits.name);
            self.finding(reasons::NAME_LEADS_OUT, place, text, false);
        } else if let Some(how) = super::place::leads_out(name) {
            let text = format!("the name {:?} {how}", super::place::shown(name, self.limits));
            self.finding(reasons::NAME_LEADS_OUT, place, text, false);
        }
        if let Some(target) = link.filter(|target| super::place::link_leads_out(name, target)) {
            let (name, target) =
                (super::place::shown(name, self.limits), super::place::shown(target, self.limits));
            let text = format!("the link {name:?} leads out of the archive, to {target:?}");
            self.finding(reasons::NAME_LEADS_OUT, place, text, false);
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Unpacks nothing more.
    pub(super) fn stop(&mut self, place: &Place, text: String) {
        if !self.stopped {
            self.stopped = true;
            self.finding(reasons::UNPACKS_TO_TOO_MUCH, place, text + "; nothing more was unpacked", true);
        }
    }

    /// Counts what a decoder sets aside or fills; `false` when that is too much altogether.
    pub(super) fn work(&mut self, place: &Place, bytes: u64) -> bool {
        self.work = self.work.saturating_add(bytes);
        if self.work > self.limits.work {
            self.stop(place, format!("more than {} bytes of work for decoders", self.limits.work));
        }
        !self.stopped
    }

    /// Counts what was unpacked; `false` when that is too much altogether.
    pub(super) fn unpacked(&mut self, place: &Place, bytes: usize) -> bool {
        self.report.unpacked = self.report.unpacked.saturating_add(bytes as u64);
        if self.report.unpacked > self.limits.total {
            self.stop(place, format!("unpacks to more than {} bytes", self.limits.total));
        }
        !self.stopped
    }

    /// Reads a decoder to its end, to an error, or to a limit.
    pub(super) fn expand(&mut self, place: &Place, decoder: &mut dyn Read) -> Expanded {
        let mut bytes = Vec::new();
        let mut piece = [0; 16 << 10];
        loop {
            if self.stopped {
                return Expanded { bytes, error: Some("a limit was reached".into()), limit: true };
            }
            match decoder.read(&mut piece) {
                Ok(0) => return Expanded { bytes, error: None, limit: false },
                Ok(n) => {
                    if bytes.len() + n > self.limits.item {
                        let text = format!("unpacks to more than {} bytes", self.limits.item);
                        self.finding(reasons::UNPACKS_TO_TOO_MUCH, place, text.clone(), true);
                        return Expanded { bytes, error: Some(text), limit: true };
                    }
                    self.unpacked(place, n);
                    bytes.extend_from_slice(piece.get(..n).unwrap_or_default());
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Expanded { bytes, error: Some(e.to_string()), limit: false },
            }
        }
    }

    /// Says so when something was packed more tightly than anything useful is.
    pub(super) fn ratio(&mut self, place: &Place, packed: usize, unpacked: usize) {
        if unpacked > Limits::RATIO_FROM && unpacked / packed.max(1) > self.limits.ratio {
            let text = format!("{packed} bytes unpack to {unpacked}; at most {} times", self.limits.ratio);
            self.finding(reasons::UNPACKS_TO_TOO_MUCH, place, text, false);
        }
    }
}

/// What is not taken, of `len` bytes; `taken` ascends.
fn gaps(taken: &[Range<usize>], len: usize) -> Vec<Range<usize>> {
    let mut from = 0;
    let mut gaps = Vec::new();
    for range in taken.iter().chain([&(len..len)]) {
        if from < range.start {
            gaps.push(from..range.start);
        }
        from = range.end;
    }
    gaps
}
