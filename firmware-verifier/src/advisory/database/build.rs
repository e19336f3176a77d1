//! Making the database: parsed sources go in, bytes come out, the same ones in whatever order.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use hal::clock::Wall;
use hal::reason::ReasonCode;

use super::key::{self, Key};
use super::record::{self, Block, Entry, EntryRef, LAST_MS, MAX_TEXT, Said};
use super::{HEADER, Header, MAX_BITS, MAX_PART, MIN_BITS, Source};
use crate::advisory::csaf::{Csaf, Identity, Product, Stated, Vulnerability};
use crate::advisory::kev::Kev;
use crate::advisory::version::scheme_of;
use crate::reasons;
use crate::version::VersionScheme;

/// Largest database in bytes.
pub const MAX_DATABASE: u64 = 1 << 30;
/// Most statements under all keys together, where the texts beside them count as [`BLOCK_WEIGHT`].
const MAX_SAID: usize = 40_000_000;
const BLOCK_WEIGHT: usize = 8;

/// Gathers sources.
#[derive(Debug, Default)]
pub struct Builder {
    /// By publisher and id, the newest version of each; several where they have one date and contradict each other.
    advisories: BTreeMap<(String, String), Vec<Csaf>>,
    /// Entries that came from no CSAF document, with what is said of products.
    others: Vec<(Entry, Vec<(Key, Block)>)>,
    kev: Option<Kev>,
    left_out: u32,
}

impl Builder {
    /// With nothing in it.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Takes an advisory in; of two versions the one that came out later stays.
    pub fn add(&mut self, csaf: Csaf) {
        let newest = self.advisories.entry((csaf.namespace.clone(), csaf.id.clone())).or_default();
        match newest.first().map(|other| other.released.ms.cmp(&csaf.released.ms)) {
            Some(Ordering::Greater) => {}
            Some(Ordering::Equal) if newest.contains(&csaf) => {}
            Some(Ordering::Equal) => newest.push(csaf),
            Some(Ordering::Less) | None => *newest = vec![csaf],
        }
    }

    /// Advisories of which nobody can tell which contents count: [`Builder::finish`] refuses them.
    pub fn contradictions(&self) -> Vec<BuildError> {
        let twice = |csaf: &Csaf| BuildError::Twice { id: csaf.id.clone(), released: csaf.released };
        let several = self.advisories.values().filter(|versions| versions.len() > 1);
        several.filter_map(|versions| versions.first()).map(twice).collect()
    }

    /// Leaves those out, each of their contents as one file.
    pub fn leave_out_contradictions(&mut self) {
        let several: usize = self.advisories.values().map(Vec::len).filter(|len| *len > 1).sum();
        self.advisories.retain(|_, versions| versions.len() == 1);
        self.left_out = self.left_out.saturating_add(u32::try_from(several).unwrap_or(u32::MAX));
    }

    /// Takes an entry in, with the products that something is said of; the entry references inside are filled in.
    pub fn add_entry(&mut self, entry: Entry, said: Vec<(Key, Block)>) {
        self.others.push((entry, said));
    }

    /// Takes in which CVEs are known to be used.
    pub fn known_exploited(&mut self, kev: Kev) {
        self.kev = Some(kev);
    }

    /// Remembers that a file was left out.
    pub fn leave_out(&mut self) {
        self.left_out = self.left_out.saturating_add(1);
    }

    /// Writes the file.
    pub fn finish(self) -> Result<Vec<u8>, BuildError> {
        if self.advisories.is_empty() && self.others.is_empty() {
            return Err(BuildError::Empty);
        }
        if let Some(twice) = self.contradictions().pop() {
            return Err(twice);
        }
        let sources = self.sources();
        let mut parts = Parts { out: vec![0; HEADER], postings: BTreeMap::new(), entries: 0, said: 0 };
        for csaf in self.advisories.values().flatten() {
            parts.advisory(csaf, self.kev.as_ref())?;
        }
        let mut others = self.others;
        others.sort_by(|(a, _), (b, _)| {
            (&a.publisher, &a.advisory, &a.id).cmp(&(&b.publisher, &b.advisory, &b.id))
        });
        for (mut entry, said) in others {
            entry.is_exploited |= self.kev.as_ref().is_some_and(|kev| kev.contains(&entry.id));
            let at = parts.entry(&entry)?;
            for (key, mut block) in said {
                block.said.iter_mut().for_each(|said| said.entry = at);
                parts.block(key, block)?;
            }
        }
        parts.finish(&sources, self.left_out)
    }

    fn sources(&self) -> Vec<Source> {
        let mut all: BTreeMap<&str, (u32, i64)> = BTreeMap::new();
        let of_csaf =
            self.advisories.values().flatten().map(|csaf| (csaf.publisher.as_str(), csaf.released.ms));
        let of_others = self.others.iter().map(|(entry, _)| (entry.publisher.as_str(), entry.released.ms));
        for (name, released) in of_csaf.chain(of_others) {
            let (count, newest) = all.entry(name).or_default();
            (*count, *newest) = (count.saturating_add(1), released.max(*newest));
        }
        let source = |(name, (count, newest)): (&str, (u32, i64))| Source {
            name: name.to_owned(),
            count,
            newest: Wall::trusted(newest),
        };
        let mut sources: Vec<Source> = all.into_iter().map(source).collect();
        if let Some(kev) = &self.kev {
            let count = u32::try_from(kev.count()).unwrap_or(u32::MAX);
            sources.push(Source { name: KEV_NAME.to_owned(), count, newest: kev.released });
        }
        sources
    }
}

/// The file while it grows.
struct Parts {
    out: Vec<u8>,
    postings: BTreeMap<Key, Vec<Block>>,
    entries: u64,
    said: usize,
}

impl Parts {
    fn advisory(&mut self, csaf: &Csaf, kev: Option<&Kev>) -> Result<(), BuildError> {
        let mut said: BTreeMap<usize, Vec<Said>> = BTreeMap::new();
        for vulnerability in &csaf.vulnerabilities {
            let entry = self.entry(&entry(csaf, vulnerability, kev))?;
            for statement in &vulnerability.statements {
                said.entry(statement.product).or_default().push(Said { entry, status: statement.status });
            }
        }
        for (product, said) in said {
            // Statements name products of this advisory only.
            let Some(product) = csaf.products.get(product) else { continue };
            for identity in &product.identities {
                for (key, block) in keys(product, identity, &said) {
                    self.block(key, block)?;
                }
                if let Some(vendor) = &identity.vendor {
                    self.postings.entry(Key::vendor(vendor)).or_default();
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> Result<EntryRef, BuildError> {
        if ![entry.published, entry.released].iter().all(|date| (0..=LAST_MS).contains(&date.ms)) {
            return Err(BuildError::Date { id: entry.advisory.clone() });
        }
        let at = self.out.len();
        entry.write(&mut self.out);
        self.entries += 1;
        self.fits()?;
        // Both below `MAX_DATABASE`.
        Ok(EntryRef { at: at as u64, len: (self.out.len() - at) as u32 })
    }

    fn block(&mut self, key: Key, block: Block) -> Result<(), BuildError> {
        self.said += block.said.len() + BLOCK_WEIGHT;
        if self.said > MAX_SAID {
            return Err(BuildError::TooLarge);
        }
        self.postings.entry(key).or_default().push(block);
        Ok(())
    }

    fn fits(&self) -> Result<(), BuildError> {
        if self.out.len() as u64 > MAX_DATABASE { Err(BuildError::TooLarge) } else { Ok(()) }
    }

    fn finish(mut self, sources: &[Source], left_out: u32) -> Result<Vec<u8>, BuildError> {
        let mut records: Vec<(u64, u64, u32)> = vec![];
        for (key, blocks) in std::mem::take(&mut self.postings) {
            let at = self.out.len();
            record::write_posting(key.as_str(), &blocks, &mut self.out);
            self.fits()?;
            if self.out.len() - at > MAX_PART as usize {
                return Err(BuildError::TooLarge);
            }
            records.push((key.place(), at as u64, (self.out.len() - at) as u32));
        }
        records.sort_unstable();
        let bits = (records.len() / 8).max(2).next_power_of_two().ilog2().clamp(MIN_BITS, MAX_BITS);
        let buckets_at = self.out.len() as u64;
        let mut at = 0;
        for bucket in 0..=1u64 << bits {
            at += records.iter().skip(at).take_while(|(place, ..)| place >> (64 - bits) < bucket).count();
            record::write_count(&mut self.out, at);
        }
        let keys_at = self.out.len() as u64;
        for (place, at, len) in &records {
            self.out.extend(place.to_le_bytes());
            self.out.extend(at.to_le_bytes());
            self.out.extend(len.to_le_bytes());
        }
        let sources_at = self.out.len();
        record::write_count(&mut self.out, sources.len());
        for source in sources {
            record::write_text(&mut self.out, &source.name);
            self.out.extend(source.count.to_le_bytes());
            self.out.extend(source.newest.ms.to_le_bytes());
        }
        self.fits()?;
        let header = Header {
            entries: self.entries,
            keys: records.len() as u64,
            bucket_bits: bits,
            buckets_at,
            keys_at,
            sources_at: sources_at as u64,
            sources_len: (self.out.len() - sources_at) as u32,
            left_out,
            current: Wall::trusted(sources.iter().map(|source| source.newest.ms).max().unwrap_or(0)),
        };
        let head = header.write(self.out.len() as u64);
        self.out.iter_mut().zip(head).for_each(|(to, from)| *to = from);
        Ok(self.out)
    }
}

fn entry(csaf: &Csaf, vulnerability: &Vulnerability, kev: Option<&Kev>) -> Entry {
    let cve = vulnerability.cve.as_deref();
    let fix = vulnerability.remedies.iter().find(|remedy| remedy.category == "vendor_fix");
    let remedy = fix.or(vulnerability.remedies.first());
    Entry {
        id: if vulnerability.id.is_empty() { csaf.id.clone() } else { vulnerability.id.clone() },
        advisory: csaf.id.clone(),
        publisher: csaf.publisher.clone(),
        title: vulnerability.title.clone().unwrap_or_else(|| csaf.title.clone()),
        url: csaf.url.clone().unwrap_or_default(),
        remedy: remedy.map_or_else(String::new, |remedy| match &remedy.url {
            // The text is cut, never the address.
            Some(url) if url.len() < MAX_TEXT / 2 => {
                format!("{} ({url})", remedy.details.chars().take(100).collect::<String>())
            }
            _ => remedy.details.clone(),
        }),
        score: vulnerability.score,
        is_exploited: cve.is_some_and(|cve| kev.is_some_and(|kev| kev.contains(cve))),
        published: csaf.published,
        released: csaf.released,
    }
}

/// Everything that a product is recognised by in one of its identities.
fn keys(product: &Product, identity: &Identity, said: &[Said]) -> Vec<(Key, Block)> {
    let (stated, scheme) = stated(product, identity);
    let vendor = identity.vendor.clone().unwrap_or_default();
    let block = Block {
        name: product.name.clone(),
        vendor: vendor.clone(),
        condition: identity.condition.clone().unwrap_or_default(),
        pattern: String::new(),
        stated,
        scheme,
        said: said.to_vec(),
    };
    let mut out = vec![];
    // A file is the version.
    let file = Block { stated: Stated::All, scheme: None, ..block.clone() };
    out.extend(identity.hashes.iter().map(|digest| (Key::hash(digest), file.clone())));
    out.extend(identity.purl.iter().map(|purl| (Key::purl(&purl.package()), block.clone())));
    let cpe = identity.cpe.iter().filter_map(|cpe| cpe.product());
    out.extend(cpe.map(|(vendor, product)| (Key::cpe(vendor, product), block.clone())));
    for number in &identity.models {
        out.push(match key::is_pattern(number) {
            true => (Key::patterns(&vendor), Block { pattern: number.clone(), ..block.clone() }),
            false => (Key::model(&vendor, number), block.clone()),
        });
    }
    if let Some(name) = &identity.product {
        if identity.vendor.is_some() {
            out.push((Key::product(&vendor, name), block.clone()));
        }
        out.push((Key::name(name), block));
    }
    out
}

/// The versions: a range of the tree before the one that a purl or CPE name has, and that before the tree's one.
/// A product that is meant only beside another, without a version of its own, is not every version of it.
fn stated(product: &Product, identity: &Identity) -> (Stated, Option<VersionScheme>) {
    match (&product.stated, identity.version()) {
        (Stated::Range(_), _) => (product.stated.clone(), None),
        (_, Some((Some(kind), stated))) => (stated, scheme_of(kind)),
        (_, Some((None, stated))) => (stated, Some(VersionScheme::Letters)),
        (Stated::All, None) if identity.condition.is_some() => (Stated::Unknown, None),
        (stated, None) => (stated.clone(), Some(VersionScheme::Letters)),
    }
}

/// The name of the catalogue among the sources.
const KEV_NAME: &str = "CISA known exploited vulnerabilities";

/// Why no database can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Nothing went in.
    #[error("no advisory to build from; give folders with CSAF 2.0 files (*.json)")]
    Empty,
    /// Which of two counts is not known.
    #[error(
        "advisory {id:?} of {released} is there twice, with different contents; remove the files that do not count"
    )]
    Twice {
        /// Its id.
        id: String,
        /// Its date.
        released: Wall,
    },
    /// A date that cannot be.
    #[error("advisory {id:?} has a date before 1970")]
    Date {
        /// Its id.
        id: String,
    },
    /// Over the limits of the format.
    #[error("the advisories need a database of more than {MAX_DATABASE} bytes; build from fewer")]
    TooLarge,
}

impl BuildError {
    /// The reason code.
    pub fn code(&self) -> ReasonCode {
        match self {
            BuildError::Twice { .. } => reasons::ADVISORY_CONTRADICTS,
            _ => reasons::ADVISORY_UNREADABLE,
        }
    }
}
