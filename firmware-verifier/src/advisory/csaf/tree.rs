//! The product tree: branches and relationships flattened into products that can be recognised.
//!
//! A product of a relationship is recognised by several identities. Firmware installed on hardware of the same
//! vendor is found by the hardware's names with the firmware's version, as a controller reports both; everything
//! else is found by what it is itself, under the condition that the other half is there.

use std::collections::HashMap;

use super::wire::{Branch, FileHash, FullName, HelperText, Relationship, Tree};
use super::{CsafError, MAX_DEPTH, MAX_PRODUCTS, Note, NoteKind, Notes};
use crate::advisory::cpe::{Attribute, Cpe};
use crate::advisory::purl::Purl;
use crate::digest::Digest;

/// One product of an advisory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its id inside the advisory.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What it is recognised by; never none.
    pub identities: Vec<Identity>,
    /// Which versions of it are meant.
    pub stated: Stated,
}

/// One way of recognising a product.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The vendor's name, where the tree says it.
    pub vendor: Option<String>,
    /// The product's name, where the tree says it.
    pub product: Option<String>,
    /// A CPE name, checked.
    pub cpe: Option<Cpe>,
    /// A package URL, checked.
    pub purl: Option<Purl>,
    /// SHA-256 digests of its files.
    pub hashes: Vec<Digest>,
    /// Model and order numbers; `*` and `?` stand for others.
    pub models: Vec<String>,
    /// What must be so besides, which nobody checks: a host, an architecture.
    pub condition: Option<String>,
}

/// How the versions of a product are stated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stated {
    /// Not at all: every version.
    All,
    /// One version.
    Exactly(String),
    /// A range, `vers:` or free text.
    Range(String),
    /// Somewhere in its name, perhaps.
    Unknown,
}

impl Product {
    /// About how many bytes it takes.
    fn size(&self) -> usize {
        let stated = match &self.stated {
            Stated::Exactly(text) | Stated::Range(text) => text.len(),
            Stated::All | Stated::Unknown => 0,
        };
        let identities: usize = self.identities.iter().map(Identity::size).sum();
        self.id.len() + self.name.len() + stated + identities
    }
}

impl Identity {
    fn size(&self) -> usize {
        let texts = [&self.vendor, &self.product, &self.condition];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        let models: usize = self.models.iter().map(|model| model.len() + size_of::<String>()).sum();
        // A purl or CPE name is at most 1,024 bytes, mostly far less.
        let names = usize::from(self.purl.is_some()) + usize::from(self.cpe.is_some());
        size_of::<Identity>() + texts + models + self.hashes.len() * Digest::LEN + names * 128
    }
}

/// All products by their index, and the index of each id.
pub(super) struct Products {
    pub(super) all: Vec<Product>,
    by_id: HashMap<String, usize>,
    /// Bytes that products may still have, with what they have from the branches above and from each other.
    left: usize,
}

impl Products {
    pub(super) fn read(tree: &Tree, notes: &mut Notes) -> Result<Products, CsafError> {
        let mut products = Products { all: vec![], by_id: HashMap::new(), left: MAX_PRODUCT_BYTES };
        for branch in &tree.branches {
            products.branch(branch, &Path::default(), notes)?;
        }
        for full in &tree.full_product_names {
            let stated = Stated::Unknown;
            products.add(
                full,
                Identity { product: Some(full.name.clone()), ..Identity::default() },
                stated,
                notes,
            )?;
        }
        products.relate(&tree.relationships, notes)?;
        Ok(products)
    }

    /// The product of `id`.
    pub(super) fn find(&self, id: &str) -> Result<usize, CsafError> {
        self.by_id.get(id).copied().ok_or_else(|| CsafError::Dangling { what: "product", id: id.to_owned() })
    }

    fn branch(&mut self, branch: &Branch, path: &Path, notes: &mut Notes) -> Result<(), CsafError> {
        let path = path.with(branch, notes)?;
        if let Some(full) = &branch.product {
            let identity = Identity {
                vendor: path.vendor.clone(),
                product: path.product.clone().or_else(|| Some(full.name.clone())),
                condition: path.condition.clone(),
                ..Identity::default()
            };
            // Without a branch for the product, its name is the full one, and that may hold a version.
            let stated = match (&path.product, &path.stated) {
                (None, Stated::All) => Stated::Unknown,
                (_, stated) => stated.clone(),
            };
            self.add(full, identity, stated, notes)?;
        }
        branch.branches.iter().try_for_each(|below| self.branch(below, &path, notes))
    }

    fn add(
        &mut self,
        full: &FullName,
        identity: Identity,
        stated: Stated,
        notes: &mut Notes,
    ) -> Result<(), CsafError> {
        let identity = with_helper(identity, &full.product_identification_helper, notes);
        self.push(Product {
            id: full.product_id.clone(),
            name: full.name.clone(),
            identities: vec![identity],
            stated,
        })
    }

    fn push(&mut self, product: Product) -> Result<(), CsafError> {
        if self.all.len() >= MAX_PRODUCTS {
            return Err(CsafError::TooMany { what: "products", max: MAX_PRODUCTS });
        }
        let too_many = CsafError::TooMany { what: "bytes of products, taken apart", max: MAX_PRODUCT_BYTES };
        self.left = self.left.checked_sub(product.size()).ok_or(too_many)?;
        match self.by_id.insert(product.id.clone(), self.all.len()) {
            Some(_) => Err(CsafError::Twice { what: "product id", id: product.id }),
            None => {
                self.all.push(product);
                Ok(())
            }
        }
    }

    /// Relationships may build on each other, in any order, and never in a circle.
    fn relate(&mut self, all: &[Relationship], notes: &mut Notes) -> Result<(), CsafError> {
        if all.len() > MAX_PRODUCTS {
            return Err(CsafError::TooMany { what: "relationships", max: MAX_PRODUCTS });
        }
        let mut open: HashMap<&str, &Relationship> = HashMap::new();
        for relationship in all {
            let id = relationship.full_product_name.product_id.as_str();
            if open.insert(id, relationship).is_some() || self.by_id.contains_key(id) {
                return Err(CsafError::Twice { what: "product id", id: id.to_owned() });
            }
        }
        all.iter().try_for_each(|relationship| {
            self.resolve(&relationship.full_product_name.product_id, &mut open, 0, notes).map(|_| ())
        })
    }

    fn resolve(
        &mut self,
        id: &str,
        open: &mut HashMap<&str, &Relationship>,
        depth: usize,
        notes: &mut Notes,
    ) -> Result<usize, CsafError> {
        let Some(relationship) = open.get(id).copied().filter(|_| !self.by_id.contains_key(id)) else {
            return self.find(id);
        };
        if depth >= MAX_DEPTH {
            return Err(CsafError::Circular { id: id.to_owned() });
        }
        let part = self.resolve(&relationship.product_reference, open, depth + 1, notes)?;
        let whole = self.resolve(&relationship.relates_to_product_reference, open, depth + 1, notes)?;
        let (Some(part), Some(whole)) = (self.all.get(part), self.all.get(whole)) else {
            return self.find(id);
        };
        let product = combine(relationship, part, whole, notes);
        self.push(product)?;
        self.find(id)
    }
}

/// What stands above a branch.
#[derive(Clone)]
struct Path {
    vendor: Option<String>,
    product: Option<String>,
    condition: Option<String>,
    stated: Stated,
    depth: usize,
}

impl Default for Path {
    fn default() -> Path {
        Path { vendor: None, product: None, condition: None, stated: Stated::All, depth: 0 }
    }
}

impl Path {
    fn with(&self, branch: &Branch, notes: &mut Notes) -> Result<Path, CsafError> {
        let mut path = self.clone();
        path.depth += 1;
        if path.depth > MAX_DEPTH {
            return Err(CsafError::TooMany { what: "levels of branches", max: MAX_DEPTH });
        }
        if branch.name.len() > MAX_NAME {
            return Err(CsafError::TooMany { what: "bytes in the name of a branch", max: MAX_NAME });
        }
        let name = branch.name.clone();
        match branch.category.as_str() {
            "vendor" => path.vendor = Some(name),
            "product_name" => path.product = Some(name),
            // It only groups products.
            "product_family" => {}
            "product_version" if looks_like_a_range(&name) => {
                notes.add(NoteKind::RangeAsVersion, &name);
                path.stated = Stated::Range(name);
            }
            "product_version" => path.stated = Stated::Exactly(name),
            "product_version_range" => path.stated = Stated::Range(name),
            "patch_level" | "service_pack" => {
                path.stated = match path.stated {
                    Stated::Exactly(version) => Stated::Exactly(format!("{version} {name}")),
                    _ => Stated::Unknown,
                }
            }
            other => path.condition = Some(and(path.condition.as_deref(), &format!("{other} {name}"))),
        }
        Ok(path)
    }
}

/// CSAF 2.0, 6.1.31: words that have no place in one version.
fn looks_like_a_range(name: &str) -> bool {
    let lower = name.to_lowercase();
    let words = ["all", "before", "earlier", "later", "prior", "versions", "after"];
    lower.contains(['<', '>']) || lower.split_whitespace().any(|word| words.contains(&word))
}

fn and(a: Option<&str>, b: &str) -> String {
    let mut text = a.map_or_else(|| b.to_owned(), |a| format!("{a}, {b}"));
    if text.len() > MAX_CONDITION {
        let end = (0..=MAX_CONDITION).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// The product of a relationship.
fn combine(relationship: &Relationship, part: &Product, whole: &Product, notes: &mut Notes) -> Product {
    let full = &relationship.full_product_name;
    let vendor = |product: &Product| product.identities.first().and_then(|i| i.vendor.clone());
    let is_firmware = relationship.category == "installed_on"
        && vendor(part)
            .is_some_and(|part| vendor(whole).is_some_and(|whole| part.eq_ignore_ascii_case(&whole)));
    let condition = format!("{} {}", relationship.category.replace('_', " "), whole.name);
    let mut identities = vec![];
    let own = with_helper(Identity::default(), &full.product_identification_helper, notes);
    if own != Identity::default() {
        identities.push(Identity { vendor: vendor(part), ..own });
    }
    if is_firmware {
        let is_sure = whole.stated == Stated::All;
        let of_whole = |i: &Identity| match is_sure {
            true => i.clone(),
            false => Identity { condition: Some(and(i.condition.as_deref(), &condition)), ..i.clone() },
        };
        identities.extend(whole.identities.iter().map(of_whole).map(without_files));
    }
    let of_part =
        |i: &Identity| Identity { condition: Some(and(i.condition.as_deref(), &condition)), ..i.clone() };
    identities.extend(part.identities.iter().map(of_part));
    identities.truncate(MAX_IDENTITIES);
    Product { id: full.product_id.clone(), name: full.name.clone(), identities, stated: part.stated.clone() }
}

/// Hardware with the version of its firmware: what names the hardware's own version does not count.
fn without_files(identity: Identity) -> Identity {
    Identity { hashes: vec![], purl: None, cpe: None, ..identity }
}

/// Takes in what identifies a product; what cannot be read is noted and not used.
fn with_helper(identity: Identity, helper: &HelperText, notes: &mut Notes) -> Identity {
    let mut noted = |kind, text: &str| notes.add(kind, text);
    let purl = helper.purl.as_deref().and_then(|text| match Purl::parse(text) {
        Ok(purl) => Some(purl),
        Err(e) => {
            noted(NoteKind::Purl, &e.to_string());
            None
        }
    });
    let cpe = helper.cpe.as_deref().and_then(|text| match Cpe::parse(text) {
        Ok(cpe) => Some(cpe),
        Err(e) => {
            noted(NoteKind::Cpe, &e.to_string());
            None
        }
    });
    let mut hashes = vec![];
    for file in &helper.hashes {
        match hashes.len() < MAX_FILES {
            true => hashes.extend(sha256(&file.file_hashes, &mut noted)),
            false => noted(NoteKind::Hash, "a product of more than 256 files"),
        }
    }
    let mut models = vec![];
    for model in helper.model_numbers.iter().chain(&helper.skus) {
        match model.len() <= MAX_MODEL && models.len() < MAX_MODELS {
            true => models.push(model.clone()),
            false => noted(NoteKind::Model, model),
        }
    }
    Identity { cpe, purl, hashes, models, ..identity }
}

/// 6.1.25: one digest for each algorithm, or nobody knows which is right.
fn sha256(hashes: &[FileHash], noted: &mut impl FnMut(NoteKind, &str)) -> Option<Digest> {
    let mut ours = hashes.iter().filter(|hash| hash.algorithm.eq_ignore_ascii_case("sha256"));
    let (first, second) = (ours.next()?, ours.next());
    match (first.value.parse(), second) {
        (Ok(digest), None) => Some(digest),
        (_, Some(_)) => {
            noted(NoteKind::Hash, "two digests of one algorithm for one file");
            None
        }
        (Err(e), None) => {
            noted(NoteKind::Hash, &e.to_string());
            None
        }
    }
}

impl Notes {
    /// Keeps a note, while there is room.
    pub(super) fn add(&mut self, kind: NoteKind, found: &str) {
        if self.0.len() < MAX_NOTES {
            self.0.push(Note { kind, found: found.chars().take(160).collect() });
        }
    }
}

impl Identity {
    /// The version that the helper itself names, and the type of package it is of.
    pub fn version(&self) -> Option<(Option<&str>, Stated)> {
        if let Some(purl) = &self.purl
            && let Some(version) = purl.version()
        {
            return Some((Some(purl.kind()), Stated::Exactly(version.to_owned())));
        }
        match self.cpe.as_ref().map(Cpe::version)? {
            Attribute::Value(version) => Some((None, Stated::Exactly(version))),
            Attribute::Pattern => Some((None, Stated::Unknown)),
            Attribute::Any | Attribute::NotApplicable => None,
        }
    }
}

/// Most notes that are kept of one advisory.
pub(super) const MAX_NOTES: usize = 200;
/// Most identities of one product.
const MAX_IDENTITIES: usize = 8;
/// Most files of one product whose digests are kept.
const MAX_FILES: usize = 256;
/// Most bytes of all products.
const MAX_PRODUCT_BYTES: usize = 64 << 20;
/// Longest name of a branch in bytes.
const MAX_NAME: usize = 2000;
/// Longest model number in bytes.
const MAX_MODEL: usize = 200;
/// Most model numbers of one product.
const MAX_MODELS: usize = 256;
/// Longest condition in bytes.
const MAX_CONDITION: usize = 300;
