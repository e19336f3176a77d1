//! What the package manager of a file system says is installed in it: dpkg, opkg, apk.

use std::collections::BTreeMap;

use super::Limits;
use super::place::Place;
use super::report::{By, Found, Kind, Occurrence};
use super::signature::percent;

/// A package, before it is known which system it is one of.
#[derive(Debug)]
struct Package {
    manager: &'static str,
    archive: String,
    place: String,
    name: String,
    version: String,
    architecture: Option<String>,
    offset: usize,
}

/// Packages found so far.
#[derive(Debug, Default)]
pub(super) struct Packages(Vec<Package>);

/// What the file systems say they are: `ID` and `VERSION_ID` of os-release(5), by where they are.
#[derive(Debug, Default)]
pub(super) struct Systems(BTreeMap<String, (String, Option<String>)>);

/// Where the lists are, without the leading `/`.
const LISTS: &[(&str, &str)] = &[
    ("var/lib/dpkg/status", "deb"),
    ("usr/lib/opkg/status", "opkg"),
    ("var/lib/opkg/status", "opkg"),
    ("lib/apk/db/installed", "apk"),
];
/// Longest name or version that is believed.
const MAX_FIELD: usize = 200;

/// Reads a file, if it is a list of packages or says what the system is.
pub(super) fn read(
    packages: &mut Packages,
    systems: &mut Systems,
    bytes: &[u8],
    archive: &Place,
    name: &str,
    limits: &Limits,
) {
    let (full, name) = (name, name.trim_start_matches("./").trim_start_matches('/'));
    if matches!(name, "etc/os-release" | "usr/lib/os-release") {
        let text = String::from_utf8_lossy(bytes);
        let field = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
            let value = line.trim().trim_matches(['"', '\'']);
            (!value.is_empty() && value.len() <= MAX_FIELD && is_plain(value)).then(|| value.to_owned())
        };
        if let Some(id) = field("ID") {
            systems.0.insert(archive.text().into(), (id.to_ascii_lowercase(), field("VERSION_ID")));
        }
    }
    let single = name.starts_with("var/lib/dpkg/status.d/") && !name.ends_with(".md5sums");
    let manager = match LISTS.iter().find(|(list, _)| *list == name) {
        Some((_, manager)) => *manager,
        None if single => "deb",
        None => return,
    };
    let place = archive.entry(full);
    let keys = if manager == "apk" { ["P", "V", "A"] } else { ["Package", "Version", "Architecture"] };
    let mut offset = 0;
    for paragraph in split_paragraphs(bytes) {
        let field = |key: &str| {
            let value = paragraph
                .split(|b| *b == b'\n')
                .find_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b":"))?;
            let value = std::str::from_utf8(value).ok()?.trim();
            (!value.is_empty() && value.len() <= MAX_FIELD && is_plain(value)).then(|| value.to_owned())
        };
        // "install ok installed"; what was removed leaves its configuration and a paragraph behind (dpkg-query(1)).
        let installed =
            field("Status").is_none_or(|status| status.split(' ').next_back() == Some("installed"));
        let [name, version, architecture] = keys.map(field);
        if let (Some(name), Some(version), true) =
            (name, version, installed && packages.0.len() < limits.reported)
        {
            let (archive, place) = (archive.text().to_owned(), place.text().to_owned());
            packages.0.push(Package { manager, archive, place, name, version, architecture, offset });
        }
        offset += paragraph.len() + 2;
    }
}

/// Parts between empty lines.
fn split_paragraphs(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let all = rest?;
        match all.windows(2).position(|w| w == b"\n\n") {
            Some(at) => {
                rest = all.get(at + 2..);
                all.get(..at)
            }
            None => rest.take(),
        }
    })
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

impl Packages {
    /// The packages as components, each of the system that its file system says it is; and those systems.
    pub(super) fn resolved(self, systems: &Systems) -> Vec<Found> {
        let mut all: Vec<Found> =
            systems.0.iter().map(|(place, (id, version))| system(place, id, version)).collect();
        for package in self.0 {
            let usual = if package.manager == "deb" { "debian" } else { "openwrt" };
            let usual = if package.manager == "apk" { "alpine" } else { usual };
            let (id, release) = match systems.0.get(&package.archive) {
                Some((id, release)) => (id.as_str(), release.as_deref()),
                None => (usual, None),
            };
            let mut purl = format!(
                "pkg:{}/{id}/{}@{}",
                package.manager,
                percent(&package.name),
                percent(&package.version)
            );
            let qualifiers: Vec<String> = [
                package.architecture.as_ref().map(|arch| format!("arch={}", percent(arch))),
                release.map(|release| format!("distro={id}-{}", percent(release))),
            ]
            .into_iter()
            .flatten()
            .collect();
            if !qualifiers.is_empty() {
                purl += &format!("?{}", qualifiers.join("&"));
            }
            let evidence = format!("{} {}", package.name, package.version);
            all.push(Found {
                name: package.name,
                version: Some(package.version),
                kind: Kind::Library,
                purl: Some(purl),
                cpe: None,
                confidence: 99,
                by: By::Package,
                occurrences: vec![Occurrence {
                    place: package.place,
                    offset: package.offset as u64,
                    evidence,
                }],
            });
        }
        all
    }
}

fn system(place: &str, id: &str, version: &Option<String>) -> Found {
    let at = version.as_ref().map(|v| format!("@{}", percent(v))).unwrap_or_default();
    Found {
        name: id.into(),
        version: version.clone(),
        kind: Kind::OperatingSystem,
        purl: Some(format!("pkg:generic/{}{at}", percent(id))),
        cpe: None,
        confidence: 95,
        by: By::Text,
        occurrences: vec![Occurrence { place: place.into(), offset: 0, evidence: "os-release".into() }],
    }
}
