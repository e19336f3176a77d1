use serde_json::json;

use super::*;
use crate::advisory::csaf::tests::{document, hole, parse, tree};
use crate::advisory::database::Builder;
use crate::digest::Digest;

fn database(documents: &[serde_json::Value]) -> Vec<u8> {
    let mut builder = Builder::new();
    for value in documents {
        builder.add(parse(value).unwrap());
    }
    builder.finish().unwrap()
}

/// What is said, the worst first, one line for each.
fn said(answer: &Answer) -> String {
    let line =
        |f: &Finding| format!("{} {} by {} ({})", f.entry.id, f.verdict, f.evidence.by, f.evidence.versions);
    let mut lines: Vec<String> = answer.findings.iter().map(line).collect();
    if answer.elsewhere > 0 {
        lines.push(format!("{} elsewhere", answer.elsewhere));
    }
    lines.join("; ")
}

#[test]
fn a_controller_is_found_by_name_model_and_order_number_and_only_in_its_versions() {
    let status =
        json!({ "known_affected": ["cpu-old"], "fixed": ["fw-new"], "known_not_affected": ["gate-old"] });
    let bytes = database(&[document(tree(), hole(status))]);
    let database = Database::open(bytes.as_slice()).unwrap();
    let affected = |by: &str| format!("CVE-2026-0001 affected by {by} (<V2.9.4)");
    for (vendor, product, version, expected) in [
        ("acme", "px-200", "2.9.3", affected("vendor and product")),
        ("Acme", "PX-200", "V2.9.3", affected("vendor and product")),
        ("Acme", "6PX7200-1AK01-0AB0", "2.9.3", affected("vendor and model")),
        ("Acme", "6PX7 200-1AK02-0AB0", "2.9.3", affected("vendor and model")),
        ("Acme", "px200", "V2.9.3", affected("vendor and model")),
        ("Acme", "PX-200", "2.9.4", "1 elsewhere".into()),
        ("Acme", "6PX7200-1AK0-0AB0", "2.9.3", String::new()),
        ("Other", "PX-200", "2.9.3", String::new()),
        (
            "Acme",
            "PX-200",
            "2.9.4-beta",
            "CVE-2026-0001 cannot compare by vendor and product (<V2.9.4)".into(),
        ),
        ("Acme", "PX-300", "2.9.3", "CVE-2026-0001 not affected by vendor and product (<V2.9.4)".into()),
        ("Acme", "PX-300", "2.9.4", "1 elsewhere".into()),
        ("Acme", "PX firmware", "2.9.4", "CVE-2026-0001 fixed by vendor and product (V2.9.4)".into()),
    ] {
        let controller = Controller { vendor, product, version: Some(version), scheme: None };
        let answer = matches_controller(&database, &controller).unwrap();
        assert_eq!(said(&answer), expected, "{vendor} {product} {version}");
        assert_eq!(answer.is_known, !expected.is_empty(), "{vendor} {product}");
        assert_eq!(answer.is_vendor_known, Some(vendor.eq_ignore_ascii_case("acme")));
    }
}

/// One package in several ways: `lib` by all of them, older than 1.2; the file of `fixed` is a repaired one.
fn packages() -> serde_json::Value {
    let hash = |byte: &str| json!([{ "filename": "f", "file_hashes": [{ "algorithm": "sha256", "value": byte.repeat(32) }] }]);
    let helper = json!({ "purl": "pkg:generic/acme/lib", "cpe": "cpe:2.3:a:acme:lib:*:*:*:*:*:*:*:*", "hashes": hash("01") });
    let branches = json!([{ "category": "vendor", "name": "Acme", "branches": [
        { "category": "product_name", "name": "Lib", "branches": [
            { "category": "product_version_range", "name": "vers:generic/<1.2",
                "product": { "product_id": "old", "name": "Lib < 1.2", "product_identification_helper": helper } },
            { "category": "product_version", "name": "1.1",
                "product": { "product_id": "patched", "name": "Lib 1.1, patched",
                    "product_identification_helper": { "hashes": hash("02") } } },
            { "category": "product_version", "name": "1.2", "product": { "product_id": "new", "name": "Lib 1.2" } },
        ] } ] }]);
    json!({ "branches": branches })
}

#[test]
fn the_surest_way_in_which_a_component_is_found_decides() {
    let status = json!({ "known_affected": ["old"], "fixed": ["patched", "new"] });
    let holes = json!([{ "cve": "CVE-2026-0002", "product_status": status }]);
    let bytes = database(&[document(packages(), holes)]);
    let database = Database::open(bytes.as_slice()).unwrap();
    let file = |byte: u8| Some(Digest::from_bytes([byte; 32]));
    let lib = Component {
        name: "lib".into(),
        version: Some("1.0".into()),
        supplier: None,
        purl: None,
        cpe: None,
        sha256: None,
    };
    let purl = |text: &str| Component { purl: Some(text.into()), name: "?".into(), ..lib.clone() };
    let cpe =
        |text: &str| Component { cpe: Some(text.into()), name: "?".into(), version: None, ..lib.clone() };
    let affected = |by: &str| format!("CVE-2026-0002 affected by {by}");
    let rows = [
        (
            "the file",
            Component { sha256: file(1), version: None, ..lib.clone() },
            affected("hash (all versions)"),
        ),
        (
            "a patched file",
            Component { sha256: file(2), purl: Some("pkg:generic/acme/lib@1.1".into()), ..lib.clone() },
            "CVE-2026-0002 fixed by hash (all versions)".into(),
        ),
        ("another file", Component { sha256: file(3), ..lib.clone() }, affected("name (vers:generic/<1.2)")),
        ("a package", purl("pkg:generic/ACME/Lib@1.1"), affected("purl (vers:generic/<1.2)")),
        ("a newer package", purl("pkg:generic/acme/lib@1.2?os=x"), "1 elsewhere".into()),
        ("a package of another type", purl("pkg:deb/acme/lib@1.1"), String::new()),
        ("no package URL", purl("lib@1.1"), String::new()),
        ("a CPE name", cpe("cpe:2.3:a:acme:lib:1.1:*:*:*:*:*:*:*"), affected("cpe (vers:generic/<1.2)")),
        (
            "a CPE name without a version",
            cpe("cpe:2.3:a:acme:lib:*:*:*:*:*:*:*:*"),
            "CVE-2026-0002 cannot compare by cpe (vers:generic/<1.2)".into(),
        ),
        ("a CPE name of any vendor", cpe("cpe:2.3:a:*:lib:1.1:*:*:*:*:*:*:*"), String::new()),
        ("a name", Component { name: " LIB ".into(), ..lib.clone() }, affected("name (vers:generic/<1.2)")),
        (
            "no version",
            Component { version: None, ..lib.clone() },
            "CVE-2026-0002 cannot compare by name (vers:generic/<1.2)".into(),
        ),
        (
            "a name that clears nothing",
            Component { version: Some("1.2".into()), ..lib.clone() },
            "1 elsewhere".into(),
        ),
        (
            "a name of the vendor",
            Component { version: Some("1.2".into()), supplier: Some("ACME".into()), ..lib.clone() },
            "CVE-2026-0002 fixed by name (1.2)".into(),
        ),
    ];
    for (what, component, expected) in rows {
        assert_eq!(said(&matches(&database, &component).unwrap()), expected, "{what}");
    }
}

#[test]
fn a_statement_about_this_version_goes_before_one_about_all() {
    let named = |id: &str, version: Option<&str>| match version {
        Some(v) => {
            json!({ "category": "product_version", "name": v, "product": { "product_id": id, "name": id } })
        }
        None => json!({ "category": "language", "name": "en", "product": { "product_id": id, "name": id } }),
    };
    let product = json!({ "category": "product_name", "name": "Lib",
        "product": { "product_id": "any", "name": "any" }, "branches": [named("2.0", Some("2.0")), named("en", None)] });
    let tree = json!({ "branches": [{ "category": "vendor", "name": "Acme", "branches": [product] }] });
    for (status, version, expected) in [
        (
            json!({ "known_affected": ["any"], "fixed": ["2.0"] }),
            "2.0",
            "CVE-1 fixed by vendor and product (2.0)",
        ),
        (
            json!({ "known_affected": ["any"], "fixed": ["2.0"] }),
            "1.9",
            "CVE-1 affected by vendor and product (all versions)",
        ),
        (
            json!({ "known_affected": ["2.0"], "known_not_affected": ["any"] }),
            "2.0",
            "CVE-1 affected by vendor and product (2.0)",
        ),
        (
            json!({ "known_affected": ["2.0"], "known_not_affected": ["any"] }),
            "1.9",
            "CVE-1 not affected by vendor and product (all versions)",
        ),
        (
            json!({ "under_investigation": ["any"] }),
            "1.9",
            "CVE-1 under investigation by vendor and product (all versions)",
        ),
        // Whether it is the English one, nobody checks.
        (
            json!({ "known_affected": ["en"] }),
            "1.9",
            "CVE-1 cannot compare by vendor and product (versions not stated apart)",
        ),
        (json!({ "known_not_affected": ["en"] }), "1.9", ""),
    ] {
        let bytes =
            database(&[document(tree.clone(), json!([{ "cve": "CVE-1", "product_status": status }]))]);
        let controller = Controller { vendor: "Acme", product: "Lib", version: Some(version), scheme: None };
        let answer = matches_controller(&Database::open(bytes.as_slice()).unwrap(), &controller).unwrap();
        assert_eq!(said(&answer), expected, "{status} {version}");
    }
}
