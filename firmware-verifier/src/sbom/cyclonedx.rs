//! CycloneDX 1.4 to 1.6 in JSON (ECMA-424): which image it is of, and the parts of it.
//!
//! Parts within parts are laid side by side: a weakness counts wherever it sits. Licences, services, pedigree and whatever
//! else a list may hold is not looked at, and not kept. Each text and the number of parts are limited before they are
//! kept, so that a list costs no more memory than a few times its own size.

use std::collections::BTreeSet;
use std::fmt;

use hal::clock::Wall;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::component::Component;
use super::file::SbomError;
use super::hashes::{HashText, sha256};

/// Most parts of one image. A Linux image with everything has 3,000 packages.
pub const MAX_COMPONENTS: usize = 20_000;
/// Longest text of one field, in bytes.
pub const MAX_FIELD: usize = 1024;
/// Most hashes of one part.
const MAX_HASHES: usize = 16;
/// Versions of the format that are read.
const VERSIONS: [&str; 3] = ["1.4", "1.5", "1.6"];

/// A list of parts, read but not yet believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sbom {
    spec: String,
    made: Option<Wall>,
    image: Option<Component>,
    components: Vec<Component>,
    excluded: usize,
}

impl Sbom {
    /// Reads the JSON.
    pub fn parse(json: &[u8]) -> Result<Sbom, SbomError> {
        let text: Text = serde_json::from_slice(json).map_err(|e| SbomError::Json(e.to_string()))?;
        text.checked()
    }

    /// Reads the predicate of a statement, whose payload `json` is.
    pub(crate) fn of_statement(json: &[u8]) -> Result<Sbom, SbomError> {
        let text: Statement = serde_json::from_slice(json).map_err(|e| SbomError::Json(e.to_string()))?;
        text.predicate.checked()
    }

    /// Format and version, for people.
    pub fn format(&self) -> String {
        format!("CycloneDX {}", self.spec)
    }

    /// When it was made, as it says itself.
    pub fn made(&self) -> Option<Wall> {
        self.made
    }

    /// What it is a list of.
    pub fn image(&self) -> Option<&Component> {
        self.image.as_ref()
    }

    /// The parts, at any depth, without those that are said to be no part of what is delivered (scope `excluded`).
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// How many parts are said to be none of what is delivered.
    pub fn excluded(&self) -> usize {
        self.excluded
    }
}

#[derive(Deserialize)]
struct Statement {
    predicate: Text,
}

/// The document (CycloneDX 1.6, `bom`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Text {
    bom_format: String,
    spec_version: String,
    serial_number: Option<String>,
    metadata: Option<Metadata>,
    #[serde(default)]
    components: Components,
    #[serde(default, rename = "dependencies")]
    _dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Metadata {
    timestamp: Option<String>,
    component: Option<Whole>,
}

/// One dependency; only its form is looked at.
#[derive(Deserialize)]
struct Dependency {
    #[serde(rename = "ref")]
    _of: String,
}

impl Text {
    fn checked(self) -> Result<Sbom, SbomError> {
        if self.bom_format != "CycloneDX" {
            return Err(SbomError::Format { found: clip(&self.bom_format) });
        }
        if !VERSIONS.contains(&self.spec_version.as_str()) {
            return Err(SbomError::Version { found: clip(&self.spec_version) });
        }
        if let Some(serial) = self.serial_number.filter(|serial| !is_urn_uuid(serial)) {
            return Err(SbomError::Content(format!("a serialNumber {:?}, which is no UUID", clip(&serial))));
        }
        let (timestamp, whole) = self.metadata.map_or((None, None), |m| (m.timestamp, m.component));
        let made = match timestamp {
            Some(text) => Some(moment(&text).ok_or_else(|| {
                SbomError::Content(format!("a timestamp {:?}, which is no time of RFC 3339", clip(&text)))
            })?),
            None => None,
        };
        let Whole { image, parts } = whole.unwrap_or_default();
        let components = [parts.flat, self.components.0.flat].concat();
        let excluded = parts.excluded + self.components.0.excluded;
        Ok(Sbom { spec: self.spec_version, made, image, components, excluded })
    }
}

/// `urn:uuid:` and a UUID (RFC 9562 §4).
fn is_urn_uuid(text: &str) -> bool {
    let Some(uuid) = text.strip_prefix("urn:uuid:") else { return false };
    uuid.len() == 36
        && uuid.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// RFC 3339 with an offset; parts of a second beyond milliseconds do not count.
fn moment(text: &str) -> Option<Wall> {
    let (day, time) = text.split_once(['T', 't'])?;
    let at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, offset) = (time.get(..at)?, time.get(at..)?);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let digits = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
    let fraction = digits.then(|| fraction.get(..3).unwrap_or(fraction))?;
    let local: Wall = format!("{day}T{clock}.{fraction}Z").parse().ok()?;
    let minutes = match offset {
        "Z" | "z" => 0,
        _ => {
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
            let ahead = offset.starts_with('+');
            (hours < 24 && minutes < 60).then_some((hours * 60 + minutes) * if ahead { 1 } else { -1 })?
        }
    };
    Some(Wall::trusted(local.ms - minutes * 60_000))
}

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Parts found so far.
#[derive(Default)]
struct Parts {
    flat: Vec<Component>,
    excluded: usize,
    /// Names by which parts refer to each other: each stands for one.
    refs: BTreeSet<String>,
}

/// The list of parts at the top.
#[derive(Default)]
struct Components(Parts);

impl<'de> Deserialize<'de> for Components {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Components, D::Error> {
        let mut parts = Parts::default();
        Many(&mut parts).deserialize(d)?;
        Ok(Components(parts))
    }
}

/// What the list is of, and the parts that it names itself.
#[derive(Default)]
struct Whole {
    image: Option<Component>,
    parts: Parts,
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Whole, D::Error> {
        let mut parts = Parts::default();
        One(&mut parts).deserialize(d)?;
        Ok(Whole { image: parts.flat.pop(), parts })
    }
}

/// A list of parts, each of which goes into the one list.
struct Many<'a>(&'a mut Parts);

impl<'de> DeserializeSeed<'de> for Many<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Many<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of components")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(One(self.0))?.is_some() {}
        Ok(())
    }
}

/// One part; it comes after those within it.
struct One<'a>(&'a mut Parts);

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_map(self)
    }
}

/// Fields of a part that are read.
#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Field {
    Type,
    Name,
    Version,
    Scope,
    #[serde(rename = "bom-ref")]
    BomRef,
    Supplier,
    Purl,
    Cpe,
    Hashes,
    Swid,
    Components,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Supplier {
    name: Option<String>,
}

/// Only its form is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Swid {
    #[serde(rename = "tagId")]
    _tag_id: String,
    #[serde(rename = "name")]
    _name: String,
}

impl<'de> Visitor<'de> for One<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a component")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut kind, mut name, mut scope) = (None, None, None);
        let mut seen = Vec::new();
        let mut component = Component::default();
        while let Some(field) = map.next_key::<Field>()? {
            if field != Field::Other && seen.contains(&(field as u8)) {
                return Err(A::Error::custom("a component with a field twice"));
            }
            seen.push(field as u8);
            match field {
                Field::Type => kind = Some(one_of(&mut map, &TYPES)?),
                Field::Scope => scope = Some(one_of(&mut map, &SCOPES)?),
                Field::Name => name = text(&mut map)?,
                Field::Version => component.version = text(&mut map)?,
                Field::Purl => component.purl = text(&mut map)?,
                Field::Cpe => component.cpe = text(&mut map)?,
                Field::Supplier => {
                    component.supplier = map.next_value::<Supplier>()?.name.filter(|name| fits(name))
                }
                Field::Swid => drop(map.next_value::<Swid>()?),
                Field::BomRef => {
                    let reference = text(&mut map)?.unwrap_or_default();
                    if let Some(twice) = self.0.refs.replace(reference) {
                        return Err(A::Error::custom(format!("two components with the bom-ref {twice:?}")));
                    }
                }
                Field::Hashes => {
                    let hashes: Vec<HashText> = map.next_value()?;
                    let few = hashes.len() <= MAX_HASHES;
                    let few =
                        few.then_some(()).ok_or_else(|| A::Error::custom("a component with too many hashes"));
                    component.sha256 = few.and_then(|()| sha256(&hashes).map_err(A::Error::custom))?;
                }
                Field::Components => map.next_value_seed(Many(self.0))?,
                Field::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        kind.ok_or_else(|| A::Error::missing_field("type"))?;
        component.name = name.ok_or_else(|| A::Error::missing_field("name"))?;
        if self.0.flat.len() + self.0.excluded >= MAX_COMPONENTS {
            return Err(A::Error::custom(format!("more than {MAX_COMPONENTS} components")));
        }
        match scope {
            Some("excluded") => self.0.excluded += 1,
            _ => self.0.flat.push(component),
        }
        Ok(())
    }
}

/// A text within the limit, without surrounding blanks; nothing, where it is empty.
fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<String>, A::Error> {
    let text: String = map.next_value()?;
    let trimmed = text.trim();
    match fits(&text) {
        true => Ok((!trimmed.is_empty()).then(|| trimmed.to_owned())),
        false => {
            Err(A::Error::custom(format!("a field of {} bytes, at most {MAX_FIELD} are read", text.len())))
        }
    }
}

fn fits(text: &str) -> bool {
    text.len() <= MAX_FIELD
}

/// One of the words that the format has.
fn one_of<'de, A: MapAccess<'de>>(map: &mut A, words: &[&'static str]) -> Result<&'static str, A::Error> {
    let found: String = map.next_value()?;
    let word = words.iter().find(|word| **word == found).copied();
    word.ok_or_else(|| A::Error::custom(format!("{:?}, expected one of {}", clip(&found), words.join(", "))))
}

/// Kinds of components (CycloneDX 1.6, `component.type`).
const TYPES: [&str; 13] = [
    "application",
    "framework",
    "library",
    "container",
    "platform",
    "operating-system",
    "device",
    "device-driver",
    "firmware",
    "file",
    "machine-learning-model",
    "data",
    "cryptographic-asset",
];
/// Scopes (CycloneDX 1.6, `component.scope`).
const SCOPES: [&str; 3] = ["required", "optional", "excluded"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A list with these members beside what it cannot be without.
    fn list(members: &str) -> String {
        format!(r#"{{"bomFormat":"CycloneDX","specVersion":"1.6"{members}}}"#)
    }

    fn of(components: &str) -> String {
        list(&format!(r#","components":[{components}]"#))
    }

    #[test]
    fn what_is_no_list_of_parts_is_refused_with_its_reason() {
        let part = |members: &str| of(&format!(r#"{{"type":"library","name":"zlib"{members}}}"#));
        let long = "x".repeat(MAX_FIELD + 1);
        let many = vec![r#"{"type":"file","name":"f"}"#; MAX_COMPONENTS + 1].join(",");
        let deep = r#"{"type":"file","name":"f","components":["#.repeat(200);
        for (what, json, expected) in [
            ("nothing", String::new(), "EOF"),
            ("another format", r#"{"bomFormat":"SPDX","specVersion":"1.6"}"#.into(), "bomFormat \"SPDX\""),
            ("no format", r#"{"specVersion":"1.6"}"#.into(), "bomFormat"),
            (
                "an old version",
                r#"{"bomFormat":"CycloneDX","specVersion":"1.3"}"#.into(),
                "CycloneDX \"1.3\"",
            ),
            (
                "a version to come",
                r#"{"bomFormat":"CycloneDX","specVersion":"2.0"}"#.into(),
                "1.4, 1.5 and 1.6",
            ),
            ("two lists", list(r#","components":[],"components":[]"#), "duplicate field `components`"),
            ("a part without name", of(r#"{"type":"library"}"#), "missing field `name`"),
            ("a part with an empty name", of(r#"{"type":"library","name":" "}"#), "missing field `name`"),
            ("a part without type", of(r#"{"name":"zlib"}"#), "missing field `type`"),
            ("a type that there is not", of(r#"{"type":"lib","name":"z"}"#), "\"lib\", expected one of"),
            ("a field twice", part(r#","version":"1","version":"2""#), "a field twice"),
            ("a long field", part(&format!(r#","purl":"{long}""#)), "a field of 1025 bytes"),
            ("a version that is a number", part(r#","version":1"#), "invalid type"),
            ("a hash by something new", part(r#","hashes":[{"alg":"CRC","content":"00"}]"#), "\"CRC\""),
            ("a short hash", part(r#","hashes":[{"alg":"SHA-1","content":"00"}]"#), "no hash by SHA-1"),
            (
                "a part named twice",
                of(r#"{"type":"file","name":"a","bom-ref":"1"},{"type":"file","name":"b","bom-ref":"1"}"#),
                "bom-ref \"1\"",
            ),
            ("too many parts", of(&many), "more than 20000 components"),
            ("parts within parts without end", format!(r#"{{"components":[{deep}"#), "recursion limit"),
            ("a time of nowhere", list(r#","metadata":{"timestamp":"2024-01-31"}"#), "no time of RFC 3339"),
            ("a serial number that is none", list(r#","serialNumber":"urn:uuid:1""#), "no UUID"),
        ] {
            let error = Sbom::parse(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{what}: {error}");
        }
    }

    #[test]
    fn parts_within_parts_are_laid_side_by_side_and_excluded_ones_left_out() {
        let sbom = list(
            r#","metadata":{"timestamp":"2024-02-01T01:30:00.1234+01:30","component":{"type":"firmware","name":"px",
                "version":"2","hashes":[{"alg":"SHA-256","content":"AB00000000000000000000000000000000000000000000000000000000000000"}],
                "components":[{"type":"file","name":"boot"}]}},
              "components":[{"type":"library","name":"outer","version":" 1 ","supplier":{"name":"acme"},"extra":[[{}]],
                "components":[{"type":"library","name":"inner","purl":"pkg:generic/inner@1","cpe":""}]},
                {"type":"library","name":"test","scope":"excluded"}]"#,
        );
        let sbom = Sbom::parse(sbom.as_bytes()).unwrap();
        let names: Vec<&str> = sbom.components().iter().map(|c| c.name.as_str()).collect();
        assert_eq!((names, sbom.excluded()), (vec!["boot", "inner", "outer"], 1));
        let outer = &sbom.components()[2];
        assert_eq!((outer.version.as_deref(), outer.supplier.as_deref()), (Some("1"), Some("acme")));
        assert_eq!(sbom.components()[1].cpe, None, "an empty text is none");
        assert_eq!(sbom.image().unwrap().sha256.unwrap().to_hex()[..4], *"ab00");
        assert_eq!(sbom.made().unwrap(), "2024-02-01T00:00:00.123Z".parse().unwrap());
        assert_eq!(sbom.format(), "CycloneDX 1.6");
    }

    #[test]
    fn two_sha256_of_one_part_are_refused_and_others_beside_one_are_not() {
        let hash =
            |alg: &str, digit: &str, n| format!(r#"{{"alg":"{alg}","content":"{}"}}"#, digit.repeat(n));
        let part = |hashes: &[String]| {
            let part = format!(r#"{{"type":"file","name":"f","hashes":[{}]}}"#, hashes.join(","));
            Sbom::parse(of(&part).as_bytes()).map(|sbom| sbom.components()[0].sha256)
        };
        assert!(part(&[hash("SHA-256", "a", 64), hash("SHA-256", "b", 64)]).is_err());
        assert!(part(&[hash("SHA-512", "b", 128), hash("SHA-256", "A", 64)]).unwrap().is_some());
        assert_eq!(part(&[hash("SHA3-256", "b", 64)]).unwrap(), None, "SHA-3 is another algorithm");
    }

    proptest! {
        #[test]
        fn any_bytes_are_parts_or_a_text(json in any::<Vec<u8>>()) {
            let _ = Sbom::parse(&json);
        }

        #[test]
        fn a_part_comes_out_as_it_went_in(name in "[!-~]{1,40}", version in "[!-~]{1,40}", depth in 0_usize..20) {
            let quote = |text: &str| serde_json::to_string(text).unwrap();
            let part = format!(r#"{{"name":{},"type":"file","version":{}}}"#, quote(&name), quote(&version));
            let nest = |inner: String, _| format!(r#"{{"components":[{inner}],"type":"file","name":"n"}}"#);
            let sbom = Sbom::parse(of(&(0..depth).fold(part, nest)).as_bytes()).unwrap();
            prop_assert_eq!(sbom.components().len(), depth + 1);
            prop_assert_eq!(&sbom.components()[0].name, &name);
            prop_assert_eq!(sbom.components()[0].version.as_deref(), Some(version.as_str()));
        }

        #[test]
        fn offsets_of_time_are_taken_off(hours in 0_i64..24, minutes in 0_i64..60) {
            let text = |sign| format!("2024-06-15T12:00:00{sign}{hours:02}:{minutes:02}");
            let noon: Wall = "2024-06-15T12:00Z".parse().unwrap();
            let off = (hours * 60 + minutes) * 60_000;
            prop_assert_eq!(moment(&text('+')).unwrap().ms, noon.ms - off);
            prop_assert_eq!(moment(&text('-')).unwrap().ms, noon.ms + off);
        }
    }
}
