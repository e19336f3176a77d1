//! The shape of the house: which crate and which module may know which, and what no file may hold.
//!
//! These read the sources as text. A rule that must be broken is changed here, with the reason beside it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use toml::Table;

/// Crates of the workspace, and which of them each may depend on (ARCHITECTURE.md, the map).
const ARROWS: &[(&str, &[&str])] = &[
    ("hal", &[]),
    ("firmware-verifier", &["hal"]),
    ("sensor-monitor", &["hal"]),
    ("gateway", &["hal", "firmware-verifier", "sensor-monitor"]),
    ("tests", &["hal", "firmware-verifier", "sensor-monitor", "gateway"]),
    ("fuzz", &["hal", "firmware-verifier", "sensor-monitor", "gateway"]),
];

/// Crates that open sockets, files or databases: not for the pure libraries.
const OPENS_THINGS: &[&str] =
    &["tokio", "tokio-util", "tokio-modbus", "socket2", "rustix", "rusqlite", "rumqttc_v5", "axum"];

/// Modules of `gateway` that take bytes and `now` and return what to do.
const PURE: &[&str] = &[
    "protocol",
    "transfer",
    "shield",
    "config",
    "reasons",
    "sim",
    "plot",
    "receipt",
    "report",
    "attestation",
    "devid",
    "backup",
];

/// What a pure module never names.
const IMPURE: &[&str] = &[
    "tokio",
    "rusqlite",
    "rumqttc",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "Instant",
    "SystemTime",
    "Clock::system",
];

/// Files at the edge of a pure module, and what each may name.
const EDGES: &[(&str, &[&str])] = &[
    // The configuration, the profiles and the policy come from disk.
    ("gateway/src/config/mod.rs", &["std::fs"]),
    ("gateway/src/config/profiles.rs", &["std::fs"]),
    ("gateway/src/config/policy.rs", &["std::fs"]),
    ("gateway/src/config/approved.rs", &["std::fs"]),
    // Puts the simulated controller on a port.
    ("gateway/src/sim/server.rs", &["tokio", "TcpListener", "TcpStream", "Clock::system"]),
];

/// `module` never names any of the others inside `gateway`.
const NEVER: &[(&str, &[&str])] = &[
    ("transfer", &["protocol", "proxy", "judge", "feed", "config", "app", "shield"]),
    ("shield", &["protocol", "transfer", "proxy", "judge", "feed", "config", "app"]),
    ("protocol", &["proxy", "judge", "feed", "config", "app", "vault", "state", "audit"]),
    ("config", &["proxy", "judge", "feed", "app", "vault", "state", "audit"]),
    ("sim", &["proxy", "judge", "feed", "config", "app", "vault", "state", "audit"]),
    ("reasons", &["protocol", "transfer", "proxy", "judge", "feed", "config", "app"]),
    (
        "plot",
        &[
            "protocol", "transfer", "proxy", "judge", "feed", "config", "app", "vault", "state", "audit",
            "cli",
        ],
    ),
    ("proxy", &["judge", "feed", "app", "vault", "state", "audit"]),
    ("feed", &["proxy", "app"]), // it asks the judge for what is queued
    ("judge", &["feed", "app", "web", "cli"]), // it speaks the messages that a pump defines
    ("vault", &["judge", "proxy", "feed", "app", "protocol"]),
    ("state", &["judge", "proxy", "feed", "app", "protocol"]),
    // It reads its own files and nothing else, so that an auditor can trust what it says of them.
    (
        "audit",
        &[
            "protocol", "transfer", "shield", "proxy", "judge", "feed", "config", "app", "state", "signals",
            "socket", "cli",
        ],
    ),
    // What checks a receipt years later needs no gateway.
    (
        "receipt",
        &[
            "protocol", "transfer", "shield", "proxy", "judge", "feed", "config", "app", "state", "signals",
            "socket", "cli",
        ],
    ),
    (
        "backup",
        &[
            "protocol", "transfer", "shield", "proxy", "judge", "feed", "config", "app", "state", "signals",
            "socket", "cli", "audit",
        ],
    ),
    (
        "attestation",
        &[
            "protocol", "transfer", "shield", "proxy", "judge", "feed", "config", "app", "state", "signals",
            "socket", "cli", "audit",
        ],
    ),
    // Certificates are read and requested without a gateway; where its key is, the judge and the feed know.
    (
        "devid",
        &[
            "protocol", "transfer", "shield", "proxy", "judge", "feed", "config", "app", "state", "signals",
            "socket", "cli", "audit",
        ],
    ),
    (
        "report",
        &[
            "protocol", "transfer", "shield", "proxy", "judge", "feed", "config", "app", "state", "signals",
            "socket", "cli",
        ],
    ),
];

/// Where the big concrete types meet; nowhere else are all three named.
const MEET: &[&str] = &["judge", "feed", "proxy"];
const MEETING_PLACE: &str = "gateway/src/app";

/// Longest file, and the files that are longer, with the reason.
const MAX_LINES: usize = 700;
const LONG: &[(&str, &str)] = &[(
    "gateway/tests/bench/world.rs",
    "the simulated link, its stations and their judge: one world for generated histories",
)];

#[test]
fn the_arrows_between_crates_point_down() {
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).chain(["headgate-tests"]).collect();
    for (name, allowed) in ARROWS {
        let manifest = root().join(name).join("Cargo.toml");
        if !manifest.exists() {
            continue;
        }
        for dependency in dependencies(&manifest) {
            let arrow = !ours.contains(dependency.as_str()) || allowed.contains(&dependency.as_str());
            assert!(arrow, "{name} depends on {dependency}");
        }
    }
    let workspace: Table = read(&root().join("Cargo.toml")).parse().unwrap();
    for member in workspace["workspace"]["members"].as_array().unwrap() {
        let member = member.as_str().unwrap();
        let is_known = ARROWS.iter().any(|(name, _)| member == *name || member.starts_with("gateway/"));
        assert!(is_known, "{member} is a member without arrows: add it to ARROWS");
    }
}

#[test]
fn the_pure_libraries_depend_on_nothing_that_opens() {
    for name in ["firmware-verifier", "sensor-monitor"] {
        let manifest = root().join(name).join("Cargo.toml");
        if manifest.exists() {
            let table: Table = read(&manifest).parse().unwrap();
            for dependency in table["dependencies"].as_table().unwrap().keys() {
                assert!(!OPENS_THINGS.contains(&dependency.as_str()), "{name} depends on {dependency}");
            }
        }
    }
}

#[test]
fn pure_modules_open_nothing_and_read_no_clock() {
    for module in PURE {
        for (path, code) in module_code(module) {
            for word in IMPURE {
                let edge = EDGES.iter().any(|(file, words)| *file == path && words.contains(word));
                assert!(edge || !names(&code, word), "{path} names {word}");
            }
        }
    }
}

#[test]
fn modules_name_only_what_lies_below_them() {
    for (module, others) in NEVER {
        for (path, code) in module_code(module) {
            let used = siblings(&code);
            for other in *others {
                assert!(!used.contains(*other), "{path} names crate::{other}");
            }
        }
    }
}

#[test]
fn the_simulated_controller_knows_nothing_of_profiles() {
    // It would repeat their mistakes, and no test would see them.
    for (path, code) in module_code("sim") {
        for word in ["Profile", "Update", "Delivery", "profile", "update", "deliver", "config"] {
            let ends = |at: usize| !code[at + 2 + word.len()..].starts_with(|c: char| c.is_alphanumeric());
            let mut segments = code.match_indices("::").filter(|(at, _)| code[at + 2..].starts_with(word));
            assert!(!segments.any(|(at, _)| ends(at)), "{path} names {word}");
        }
    }
}

#[test]
fn concrete_types_meet_in_app_only() {
    for (path, code) in rust_code() {
        if path.starts_with("gateway/src/") && !path.starts_with(MEETING_PLACE) {
            let used = siblings(&code);
            assert!(!MEET.iter().all(|m| used.contains(*m)), "{path} names {MEET:?} together");
        }
    }
}

/// Where unsafe code may stand: the calls of libtss2, and closing descriptors that nobody owns.
const UNSAFE: [&str; 2] = ["hal/src/tpm/esys/", "hal/src/sandbox/descriptors.rs"];

#[test]
fn unsafe_code_stands_in_one_folder_and_one_file() {
    for root_file in files().iter().filter(|f| is_crate_root(f)) {
        if root_file.starts_with("hal/") || root_file.starts_with("fuzz/") {
            continue;
        }
        let text = read(&root().join(root_file));
        assert!(text.contains("#![forbid(unsafe_code)]"), "{root_file} lacks #![forbid(unsafe_code)]");
    }
    for (path, code) in rust_code() {
        let here = UNSAFE.iter().any(|place| path.starts_with(place));
        assert!(here || !names(&code, "unsafe"), "{path} holds unsafe code");
    }
}

#[test]
fn no_file_names_a_registry_or_a_machine() {
    // Written in halves, so that this file passes its own test.
    let registries = [
        ("crates", ".io"),
        ("pypi", ".org"),
        ("npmjs", ".com"),
        ("proxy.golang", ".org"),
        ("rubygems", ".org"),
    ];
    let folders = [("/wo", "rk/"), ("/ro", "ot/"), ("/fa", "rm/"), ("/Us", "ers/")];
    let words: Vec<String> = registries.into_iter().chain(folders).map(|(a, b)| format!("{a}{b}")).collect();
    for file in files() {
        // Cargo writes the registry into its lock files.
        if file.ends_with("Cargo.lock") || file == "LICENSE" {
            continue;
        }
        let bytes = fs::read(root().join(&file)).unwrap();
        for (number, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
            for word in &words {
                assert!(!line.contains(word.as_str()), "{file}:{}: contains {word}", number + 1);
            }
        }
    }
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    for file in files().iter().filter(|f| f.ends_with(".rs")) {
        let lines = read(&root().join(file)).lines().count();
        let reason = LONG.iter().find(|(name, _)| name == file);
        match reason {
            None => assert!(lines <= MAX_LINES, "{file} has {lines} lines: split it, or name it in LONG"),
            Some(_) => assert!(lines > MAX_LINES, "{file} has {lines} lines: take it out of LONG"),
        }
    }
}

#[test]
fn the_readers_of_this_file_see_what_they_should() {
    let code = "use crate::transfer::{engine, image};\nfn f() { crate::shield::x() } // crate::feed\n\
                #[cfg(test)]\n#[allow(x)]\nmod tests { use crate::judge; }\n";
    assert_eq!(siblings(&without_tests(code)), BTreeSet::from(["shield".into(), "transfer".into()]));
    assert_eq!(
        siblings("use crate::{feed::Feed, proxy, judge::{a, b}};"),
        ["feed", "judge", "proxy"].map(String::from).into()
    );
    assert!(names("let x = Instant::now();", "Instant") && !names("Instantly", "Instant"));
    assert!(names("use std::fs;", "std::fs") && !names("std::fsync", "std::fs"));
    assert_eq!(without_comments("a // b\n\"http://c\" /* d */ e"), "a \n\"http://c\"  e");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every file of the repository: what git tracks, or would; where there is no git, what lies there besides
/// what was built.
fn files() -> Vec<String> {
    let git = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let list = match git {
        Ok(git) if git.status.success() => String::from_utf8(git.stdout).unwrap(),
        _ => walk(&root()).join("\n"),
    };
    let files: Vec<String> = list.lines().filter(|f| root().join(f).is_file()).map(String::from).collect();
    assert!(files.len() > 50, "only {} files", files.len());
    files
}

fn walk(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_built = name.starts_with("target") || [".git", ".venv", "artifacts"].contains(&name);
        match path.is_dir() {
            true if is_built => {}
            true => files.extend(walk(&path)),
            false => files.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_string()),
        }
    }
    files
}

fn is_crate_root(file: &str) -> bool {
    let mut parts = file.rsplit('/');
    let (name, folder) = (parts.next().unwrap(), parts.next().unwrap_or_default());
    (folder == "src" && matches!(name, "lib.rs" | "main.rs")) || (folder == "bin" && name.ends_with(".rs"))
}

/// Names in `[dependencies]`, `[dev-dependencies]` and `[build-dependencies]`.
fn dependencies(manifest: &Path) -> BTreeSet<String> {
    let table: Table = read(manifest).parse().unwrap();
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    kinds.iter().filter_map(|k| table.get(*k)?.as_table()).flat_map(|t| t.keys().cloned()).collect()
}

/// Every Rust file outside the test folders, without comments and unit tests.
fn rust_code() -> Vec<(String, String)> {
    let is_code = |f: &&String| f.ends_with(".rs") && f.contains("/src/") && !f.ends_with("/tests.rs");
    files().iter().filter(is_code).map(|f| (f.clone(), without_tests(&read(&root().join(f))))).collect()
}

/// The files of one module of `gateway`.
fn module_code(module: &str) -> Vec<(String, String)> {
    let (file, folder) = (format!("gateway/src/{module}.rs"), format!("gateway/src/{module}/"));
    rust_code().into_iter().filter(|(path, _)| *path == file || path.starts_with(&folder)).collect()
}

/// The code above the unit tests, which stand last in a file.
fn without_tests(text: &str) -> String {
    let code = without_comments(text);
    let is_module = |rest: &str| {
        rest.lines().skip(1).find(|l| !l.starts_with("#[")).is_some_and(|l| l.starts_with("mod "))
    };
    let end = code.match_indices("#[cfg(test)]").find(|(at, _)| is_module(&code[*at..])).map(|(at, _)| at);
    code[..end.unwrap_or(code.len())].to_string()
}

fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (i, line) in text.lines().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        let mut rest = line;
        let mut in_text = false;
        while let Some(c) = rest.chars().next() {
            match c {
                '/' if !in_text && rest.starts_with("//") => break,
                '/' if !in_text && rest.starts_with("/*") && rest.contains("*/") => {
                    rest = &rest[rest.find("*/").unwrap() + 2..];
                    continue;
                }
                '\\' if in_text => {
                    out.extend(rest.chars().take(2));
                    rest = rest.get(2..).unwrap_or_default();
                    continue;
                }
                '"' if !out.ends_with('\'') => in_text = !in_text,
                _ => {}
            }
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// Whether `code` names `word` as a whole path segment or segments.
fn names(code: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word)
        .any(|(at, _)| !part(code[..at].chars().next_back()) && !part(code[at + word.len()..].chars().next()))
}

/// The modules of the own crate that `code` names: `crate::x`, `crate::{x::y, z}`.
fn siblings(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let word = |text: &str| -> String {
            text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        };
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = 0;
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    found.insert(word(&group[start..i]));
                    start = i + 1;
                }
                _ => {}
            }
            if c == '}' && start == i + 1 {
                break;
            }
        }
    }
    found.remove("");
    found
}
