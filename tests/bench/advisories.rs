//! An SBOM of 1,000 components against a database of 200,000 advisories: a whole process that has just started,
//! and, inside one process, parsing and matching against parsing the JSON alone. Sixteen of the components have holes.
//!
//! The file is in the page cache. The process is this program, which reads SBOM and database and prints how many
//! components are affected; the reader of the components is the bench's own, as small as it can be.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use firmware_verifier::advisory::database::{Block, Builder, Entry, Key};
use firmware_verifier::advisory::matching::{Verdict, matches};
use firmware_verifier::sbom::Component;
use gateway::advisories::AdvisoryFile;
use hal::clock::Wall;
use serde_json::{Value, json};

use crate::ROUNDS;
use crate::figure::{Bound, figure, median, ratios};

const ADVISORIES: usize = 200_000;
const COMPONENTS: usize = 1_000;
/// One component in so many has a hole.
const EVERY: usize = 64;

/// Wall time of the process in ms, and the ratio in one process.
pub(crate) fn measure() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (database, sbom) = (dir.path().join("db"), dir.path().join("sbom.json"));
    std::fs::write(&database, build()).expect("writable");
    std::fs::write(&sbom, components().to_string()).expect("writable");
    let (mut process, mut parse, mut both) = (vec![], vec![], vec![]);
    for _ in 0..=ROUNDS {
        process.push(cold(&database, &sbom));
        let bytes = std::fs::read(&sbom).expect("readable");
        parse.push(ms(|| drop(serde_json::from_slice::<Value>(&bytes).expect("JSON"))));
        both.push(ms(|| assert_eq!(count(&database, &bytes), COMPONENTS.div_ceil(EVERY))));
    }
    for row in [&mut process, &mut parse, &mut both] {
        row.remove(0); // the first one warms up
    }
    let len = |path: &Path| std::fs::metadata(path).expect("a file").len();
    println!(
        "advisories: {ROUNDS} rounds, {COMPONENTS} components in {} bytes, {ADVISORIES} advisories in {} bytes",
        len(&sbom),
        len(&database)
    );
    println!("  the JSON alone      {:>8.2} ms", median(&parse));
    println!("  parse and match     {:>8.2} ms", median(&both));
    figure("advisories-process", "ms", &process, Bound::AtMost(10.0));
    figure("advisories-in-process", "ratio", &ratios(&both, &parse), Bound::AtMost(4.0));
}

/// What the process does that is measured.
pub(crate) fn child(database: &Path, sbom: &Path) {
    println!("{}", count(database, &std::fs::read(sbom).expect("readable")));
}

fn cold(database: &Path, sbom: &Path) -> f64 {
    let me = std::env::current_exe().expect("this program");
    ms(|| {
        let output = Command::new(me).arg("match").args([database, sbom]).output().expect("it runs");
        assert_eq!(output.stdout, format!("{}\n", COMPONENTS.div_ceil(EVERY)).as_bytes());
    })
}

fn ms(what: impl FnOnce()) -> f64 {
    let start = Instant::now();
    what();
    start.elapsed().as_secs_f64() * 1e3
}

/// How many components are affected.
fn count(database: &Path, sbom: &[u8]) -> usize {
    let database = AdvisoryFile::database(File::open(database).expect("a file")).expect("a database");
    let sbom: Value = serde_json::from_slice(sbom).expect("JSON");
    let text = |row: &Value, field: &str| row[field].as_str().map(String::from);
    let is_affected = |row: &Value| {
        let component = Component {
            name: text(row, "name").unwrap_or_default(),
            version: text(row, "version"),
            supplier: text(&row["supplier"], "name"),
            purl: text(row, "purl"),
            cpe: text(row, "cpe"),
            sha256: row["hashes"][0]["content"].as_str().and_then(|hash| hash.parse().ok()),
        };
        let answer = matches(&database, &component).expect("a whole database");
        answer.findings.iter().any(|finding| finding.verdict == Verdict::Affected)
    };
    sbom["components"].as_array().expect("a list").iter().filter(|row| is_affected(row)).count()
}

/// Packages `lib0`, `lib1`, ..., each with a hole before version 2.
fn build() -> Vec<u8> {
    let mut builder = Builder::new();
    for n in 0..ADVISORIES {
        let entry = Entry {
            id: format!("CVE-2026-{n}"),
            advisory: format!("ACME-{n}"),
            publisher: "Acme".into(),
            title: "A remote station may write past the end of a buffer in the reader of projects".into(),
            url: format!("https://psirt.acme.example/advisories/acme-{n}.json"),
            remedy: "Update to version 2.0".into(),
            score: None,
            is_exploited: false,
            published: Wall::trusted(1_700_000_000_000),
            released: Wall::trusted(1_700_000_000_000),
        };
        let block = || Block::affected(&format!("Acme lib{n} before 2.0"), "vers:generic/<2.0");
        let purl = Key::purl(&format!("generic/acme/lib{n}"));
        builder.add_entry(entry, vec![(purl, block()), (Key::cpe("acme", &format!("lib{n}")), block())]);
    }
    builder.finish().expect("a database")
}

/// As CycloneDX has them; one in [`EVERY`] is a package that the database has.
fn components() -> Value {
    let one = |n: usize| {
        let (name, vendor) =
            if n.is_multiple_of(EVERY) { (format!("lib{n}"), "acme") } else { (format!("part{n}"), "parts") };
        json!({
            "type": "library", "bom-ref": format!("ref-{n}"), "name": name, "version": "1.4.2",
            "supplier": { "name": vendor }, "purl": format!("pkg:generic/{vendor}/{name}@1.4.2"),
            "cpe": format!("cpe:2.3:a:{vendor}:{name}:1.4.2:*:*:*:*:*:*:*"),
            "hashes": [{ "alg": "SHA-256", "content": format!("{n:064x}") }],
            "licenses": [{ "license": { "id": "Apache-2.0" } }],
        })
    };
    json!({ "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": (0..COMPONENTS).map(one).collect::<Vec<_>>() })
}
