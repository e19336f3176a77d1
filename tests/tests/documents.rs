//! The documents against the program: every key is described, every link leads somewhere.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use gateway::config::{Config, profiles};
use gateway::protocol::modbus::profile::Profile;

#[test]
fn every_key_of_the_configuration_is_described() {
    let text = read("docs/config.md");
    for table in [
        "",
        "[gateway]",
        "[tpm]",
        "[[zone]]",
        "[[plc]]",
        "[[plc]]\n[[plc.route]]",
        "[[plc]]\n[[plc.allow]]",
        "[[plc]]\n[plc.regime]",
        "[mqtt]",
        "[[signal]]",
        "[[signal]]\nsource = { kind = \"iio\" }",
        "[[signal]]\nsource = { kind = \"gpio\" }",
        "[[signal]]\n[signal.loop]",
        "[[signal]]\n[signal.reported]",
        "[[bus]]",
        "[soak]",
    ] {
        let typed = format!("{table}\nno_such_key = 1\n");
        let error = Config::parse(&[("typed".into(), typed)], Path::new(".")).unwrap_err().to_string();
        check(&text, table, &error);
    }
}

#[test]
fn every_key_of_a_profile_is_described() {
    let text = read("docs/profiles.md");
    let tables = [
        "",
        "[data]\nshape = \"file-record\"",
        "[data]\nshape = \"fixed-window\"",
        "[data]\nshape = \"block-number\"",
        "[data]\nshape = \"offset-window\"",
        "[data]\nshape = \"linear\"",
        "[[step]]",
        "[status]",
        "[[staged_read]]",
        "[identity]\nkind = \"registers\"",
        "[timing]",
    ];
    for table in tables {
        let error = Profile::parse(&format!("{table}\nno_such_key = 1\n")).unwrap_err().to_string();
        check(&text, table, &error);
    }
}

#[test]
fn every_shipped_profile_is_described() {
    let text = read("docs/profiles.md");
    for name in profiles::names() {
        assert!(text.contains(&format!("| `{name}` |")), "docs/profiles.md does not list {name}");
        assert!(root().join(format!("deploy/profiles/{name}.toml")).exists());
    }
}

#[test]
fn every_exit_code_of_a_reason_is_described() {
    let text = read("docs/cli.md");
    for reason in gateway::reasons::all() {
        assert!(text.contains(&format!("| {} |", reason.exit)), "{}: exit code {}", reason.code, reason.exit);
    }
}

#[test]
fn no_document_has_two_sections_of_one_name() {
    let entries = std::fs::read_dir(root().join("docs")).unwrap().map(|e| e.unwrap().path());
    for path in entries.filter(|p| p.extension().is_some_and(|e| e == "md")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut heads: Vec<&str> = text.lines().filter(|l| l.starts_with("## ")).collect();
        let all = heads.len();
        heads.sort_unstable();
        heads.dedup();
        assert_eq!(heads.len(), all, "{}", path.display());
    }
}

#[test]
fn every_link_leads_to_a_file() {
    let documents = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"];
    for document in documents {
        for link in read(document).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(link.contains("://") || root().join(link).exists(), "{document} links to {link}");
        }
    }
    for page in std::fs::read_dir(root().join("docs")).unwrap() {
        let page = page.unwrap().file_name().into_string().unwrap();
        let named = documents.iter().any(|d| read(d).contains(&format!("docs/{page}")));
        assert!(named, "no document leads to docs/{page}");
    }
}

/// The complaint about an unknown key names the keys that there are.
fn check(text: &str, table: &str, error: &str) {
    let (_, expected) = error.split_once("expected ").unwrap_or_else(|| panic!("{table}: {error}"));
    let keys: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    assert!(!keys.is_empty(), "{table}: {error}");
    for key in keys {
        // A table of its own, or a key in a row or a sentence.
        let forms = [
            format!("`{key}`"),
            format!("`{key} = "),
            format!("[{key}]"),
            format!(".{key}]"),
            format!("{key}, "),
            format!("{key} }}"),
        ];
        assert!(forms.iter().any(|f| text.contains(f)), "{table}: {key} is not described");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}
