//! Known vulnerabilities in what Headgate is built on: `Cargo.lock` against a folder of RustSec advisories.
//!
//! The folder is `HEADGATE_ADVISORIES`, or `shared/advisory-db` beside the workspace. An advisory is TOML at
//! the head of a Markdown file, and matching needs only version requirements, so this replaces a program
//! that wants a git checkout. Vulnerabilities and unsound code fail; advisories
//! that only say "unmaintained" are printed.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use semver::{Version, VersionReq};
use toml::{Table, Value};

/// Advisories that do not concern Headgate, each with the reason. An entry that matches nothing fails.
const ACCEPTED: &[(&str, &str)] = &[];

#[test]
fn nothing_we_build_on_has_a_known_vulnerability() {
    let Some(folder) = database() else { return };
    println!("advisories: snapshot {}", snapshot(&folder));
    let mut faults = Vec::new();
    let mut matched = Vec::new();
    let mut packages = 0;
    for lock in ["Cargo.lock", "fuzz/Cargo.lock"] {
        for (name, version) in locked(&fs::read_to_string(root().join(lock)).unwrap()) {
            packages += 1;
            for advisory in of_package(&folder.join("crates").join(&name)) {
                if !advisory.affects(&version) {
                    continue;
                }
                let line = format!("{lock}: {name} {version}: {} {}", advisory.id, advisory.kind);
                if let Some((id, why)) = ACCEPTED.iter().find(|(id, _)| *id == advisory.id) {
                    println!("{line}: accepted: {why}");
                    matched.push(*id);
                } else if matches!(advisory.kind.as_str(), "unmaintained" | "notice") {
                    println!("{line}");
                } else {
                    faults.push(line);
                }
            }
        }
    }
    println!("advisories: {packages} locked packages, {} of them affected", faults.len());
    assert!(faults.is_empty(), "{faults:#?}");
    for (id, _) in ACCEPTED {
        assert!(matched.contains(id), "{id} matches nothing any more: remove it from ACCEPTED");
    }
}

/// The database; `None` where there is none, which CI does not allow.
fn database() -> Option<PathBuf> {
    let beside = root().join("../shared/advisory-db");
    let folder = std::env::var_os("HEADGATE_ADVISORIES").map_or(beside, PathBuf::from);
    if folder.join("crates").is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "no advisories in {}", folder.display());
    println!("advisories: skipped, there are none in {}", folder.display());
    None
}

/// Origin and date of the snapshot, as the file beside it says.
fn snapshot(folder: &Path) -> String {
    let text = fs::read_to_string(folder.join("SOURCE.txt")).unwrap_or_else(|_| "of unknown date".into());
    text.lines().next().unwrap_or_default().to_string()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Packages that come from a registry, with their versions.
fn locked(lock: &str) -> Vec<(String, Version)> {
    let lock: Table = lock.parse().unwrap();
    let packages = lock["package"].as_array().unwrap().iter();
    let text = |p: &Value, key: &str| p[key].as_str().unwrap().to_string();
    packages
        .filter(|p| p.get("source").is_some())
        .map(|p| (text(p, "name"), text(p, "version").parse().unwrap()))
        .collect()
}

struct Advisory {
    id: String,
    /// `vulnerability`, or what the advisory says it is instead.
    kind: String,
    withdrawn: bool,
    /// Versions that are not affected.
    good: Vec<VersionReq>,
}

impl Advisory {
    /// Reads the TOML at the head of an advisory.
    fn parse(markdown: &str) -> Advisory {
        let head = markdown.strip_prefix("```toml").and_then(|rest| rest.split("```").next());
        let table: Table = head.expect("an advisory begins with ```toml").parse().unwrap();
        let (advisory, versions) = (&table["advisory"], table.get("versions"));
        let list = |key| versions.and_then(|v| v.get(key)).and_then(Value::as_array);
        let good = [list("patched"), list("unaffected")].into_iter().flatten().flatten();
        let kind = advisory.get("informational").and_then(Value::as_str).unwrap_or("vulnerability");
        Advisory {
            id: advisory["id"].as_str().unwrap().into(),
            kind: kind.into(),
            withdrawn: advisory.get("withdrawn").is_some(),
            good: good.map(|req| VersionReq::parse(req.as_str().unwrap()).unwrap()).collect(),
        }
    }

    /// A pre-release matches no requirement that does not name it, and so counts as affected.
    fn affects(&self, version: &Version) -> bool {
        !self.withdrawn && !self.good.iter().any(|req| req.matches(version))
    }
}

fn of_package(folder: &Path) -> Vec<Advisory> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let files = entries.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "md"));
    files.map(|p| Advisory::parse(&fs::read_to_string(p).unwrap())).collect()
}

#[test]
fn an_advisory_affects_the_versions_it_does_not_except() {
    let advisory = Advisory::parse(
        "```toml\n[advisory]\nid = \"RUSTSEC-2021-0072\"\npackage = \"tokio\"\n\
         [versions]\npatched = [\">= 1.5.1, < 1.6.0\", \">= 1.8.1\"]\nunaffected = [\"< 0.3.0\"]\n```\n# Text\n",
    );
    let rows = [
        ("0.2.9", false, "older than the fault"),
        ("1.5.0", true, "just before the first repair"),
        ("1.5.1", false, "repaired"),
        ("1.6.0", true, "between two repairs"),
        ("1.8.1", false, "repaired"),
        ("1.9.0-rc.1", true, "a pre-release is never taken for repaired"),
    ];
    for (version, affected, why) in rows {
        assert_eq!(advisory.affects(&version.parse().unwrap()), affected, "{version}: {why}");
    }
    assert_eq!((advisory.id.as_str(), advisory.kind.as_str()), ("RUSTSEC-2021-0072", "vulnerability"));
}

#[test]
fn a_known_vulnerable_package_would_be_found() {
    let Some(folder) = database() else { return };
    let lock = "[[package]]\nname = \"time\"\nversion = \"0.1.44\"\nsource = \"registry\"\n\
                [[package]]\nname = \"hal\"\nversion = \"0.1.0\"\n";
    let packages = locked(lock);
    assert_eq!(packages.len(), 1, "a crate of ours is not looked up");
    let found = of_package(&folder.join("crates").join(&packages[0].0));
    assert!(found.iter().any(|a| a.id == "RUSTSEC-2020-0071" && a.affects(&packages[0].1)));
}
