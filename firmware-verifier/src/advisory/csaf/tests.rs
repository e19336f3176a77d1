use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A document that is final and has nothing wrong, with this tree and these vulnerabilities.
pub(crate) fn document(tree: Value, vulnerabilities: Value) -> Value {
    json!({
        "document": {
            "category": "csaf_security_advisory", "csaf_version": "2.0", "title": "Holes in PX",
            "publisher": { "category": "vendor", "name": "Acme PSIRT", "namespace": "https://psirt.acme.example" },
            "references": [{ "category": "self", "summary": "here", "url": "https://psirt.acme.example/acme-1" }],
            "tracking": {
                "id": "ACME-1", "status": "final", "version": "2", "revision_history": [],
                "initial_release_date": "2026-01-02T10:00:00Z", "current_release_date": "2026-03-04T10:00:00+01:00",
            },
        },
        "product_tree": tree,
        "vulnerabilities": vulnerabilities,
    })
}

/// Firmware of two hardware products: `fw-old` on both is `cpu-old` and `gate-old`.
pub(crate) fn tree() -> Value {
    let product = |id: &str, name: &str| json!({ "product_id": id, "name": name });
    let cpu = json!({ "product_id": "cpu", "name": "PX-200 CPU",
        "product_identification_helper": { "model_numbers": ["6PX7 200-1AK0?-0AB0"], "skus": ["PX200"] } });
    let installed = |id: &str, name: &str, on: &str| {
        json!({ "category": "installed_on", "product_reference": "fw-old", "relates_to_product_reference": on,
            "full_product_name": product(id, name) })
    };
    json!({
        "branches": [{ "category": "vendor", "name": "Acme", "branches": [
            { "category": "product_name", "name": "PX firmware", "branches": [
                { "category": "product_version_range", "name": "<V2.9.4", "product": product("fw-old", "PX firmware < V2.9.4") },
                { "category": "product_version", "name": "V2.9.4", "product": product("fw-new", "PX firmware V2.9.4") },
            ] },
            { "category": "product_family", "name": "PX", "branches": [
                { "category": "product_name", "name": "PX-200", "product": cpu },
                { "category": "product_name", "name": "PX-300", "product": product("gate", "PX-300 gateway") },
            ] },
        ] }],
        "relationships": [
            installed("cpu-old", "PX-200 with firmware < V2.9.4", "cpu"),
            installed("gate-old", "PX-300 with firmware < V2.9.4", "gate"),
        ],
    })
}

pub(crate) fn hole(status: Value) -> Value {
    json!([{
        "cve": "CVE-2026-0001", "title": "Overflow in the web server", "product_status": status,
        "scores": [{ "products": ["cpu-old"], "cvss_v3": { "version": "3.1", "vectorString": "", "baseScore": 9.8 } }],
        "remediations": [
            { "category": "mitigation", "details": "Close port 80", "product_ids": ["cpu-old"] },
            { "category": "vendor_fix", "details": "Update to V2.9.4", "url": "https://acme.example/fw", "product_ids": ["cpu-old"] },
        ],
    }])
}

pub(crate) fn parse(value: &Value) -> Result<Csaf, CsafError> {
    Csaf::parse(value.to_string().as_bytes())
}

#[test]
fn a_document_says_who_what_which_versions_and_how_bad() {
    let csaf = parse(&document(tree(), hole(json!({ "known_affected": ["cpu-old", "gate-old"] })))).unwrap();
    assert_eq!(
        (csaf.id.as_str(), csaf.publisher.as_str(), csaf.version.as_str()),
        ("ACME-1", "Acme PSIRT", "2")
    );
    assert_eq!(csaf.released.to_string(), "2026-03-04T09:00:00.000Z");
    assert_eq!(csaf.url.as_deref(), Some("https://psirt.acme.example/acme-1"));
    assert!(csaf.notes.is_empty());
    let [hole] = csaf.vulnerabilities.as_slice() else { panic!("{:?}", csaf.vulnerabilities) };
    assert_eq!(hole.score.map(|s| s.to_string()).as_deref(), Some("9.8"));
    assert_eq!((hole.statements.len(), hole.remedies.len()), (2, 2));
    assert_eq!(hole.statements[0].status, Status::Affected);
}

#[test]
fn firmware_on_hardware_of_its_vendor_is_found_by_the_hardware_with_the_firmwares_versions() {
    let csaf = parse(&document(tree(), json!([]))).unwrap();
    let on_cpu = csaf.products.iter().find(|p| p.id == "cpu-old").unwrap();
    assert_eq!(on_cpu.stated, Stated::Range("<V2.9.4".into()));
    let found: Vec<(Option<&str>, bool)> =
        on_cpu.identities.iter().map(|i| (i.product.as_deref(), i.condition.is_some())).collect();
    assert_eq!(found, [(Some("PX-200"), false), (Some("PX firmware"), true)]);
    assert_eq!(on_cpu.identities[0].models, ["6PX7 200-1AK0?-0AB0", "PX200"]);
}

#[test]
fn software_on_a_foreign_host_is_not_found_by_the_hosts_name() {
    let mut tree = tree();
    let other = json!({ "category": "vendor", "name": "Other", "branches": [
        { "category": "product_name", "name": "Panel OS", "product": { "product_id": "os", "name": "Panel OS" } } ] });
    tree["branches"].as_array_mut().unwrap().push(other);
    tree["relationships"][0]["relates_to_product_reference"] = json!("os");
    let csaf = parse(&document(tree, json!([]))).unwrap();
    let on_os = csaf.products.iter().find(|p| p.id == "cpu-old").unwrap();
    assert_eq!(on_os.identities.len(), 1);
    assert_eq!(on_os.identities[0].product.as_deref(), Some("PX firmware"));
    assert_eq!(on_os.identities[0].condition.as_deref(), Some("installed on Panel OS"));
}

#[test]
fn what_contradicts_itself_or_does_not_count_is_refused_as_a_whole() {
    let affected = || hole(json!({ "known_affected": ["cpu-old"] }));
    let with = |change: &dyn Fn(&mut Value)| {
        let mut value = document(tree(), affected());
        change(&mut value);
        value
    };
    let rows: Vec<(&str, Value, u16)> = vec![
        ("a draft", with(&|v| v["document"]["tracking"]["status"] = json!("draft")), 3012),
        ("a final draft", with(&|v| v["document"]["tracking"]["version"] = json!("0.9.5")), 3012),
        ("a pre-release", with(&|v| v["document"]["tracking"]["version"] = json!("1.0.0-rc.1")), 3012),
        ("no status", with(&|v| v["document"]["tracking"]["status"] = json!("done")), 3012),
        ("another version of the standard", with(&|v| v["document"]["csaf_version"] = json!("2.1")), 3011),
        ("no id", with(&|v| v["document"]["tracking"]["id"] = json!(" ")), 3011),
        ("no date", with(&|v| v["document"]["tracking"]["current_release_date"] = json!("soon")), 3011),
        ("no document", json!({ "product_tree": {} }), 3011),
        (
            "an unknown product",
            document(tree(), hole(json!({ "fixed": ["nobody"], "known_affected": ["cpu-old"] }))),
            3013,
        ),
        (
            "an unknown product recommended",
            document(tree(), hole(json!({ "recommended": ["nobody"] }))),
            3013,
        ),
        (
            "affected and fixed",
            document(tree(), hole(json!({ "known_affected": ["cpu-old"], "fixed": ["cpu-old"] }))),
            3013,
        ),
        (
            "affected and looked at",
            document(
                tree(),
                hole(json!({ "last_affected": ["cpu-old"], "under_investigation": ["cpu-old"] })),
            ),
            3013,
        ),
        (
            "one product twice",
            with(&|v| {
                v["product_tree"]["full_product_names"] = json!([{ "product_id": "cpu", "name": "x" }])
            }),
            3013,
        ),
        (
            "a product of itself",
            with(&|v| v["product_tree"]["relationships"][0]["product_reference"] = json!("cpu-old")),
            3013,
        ),
        (
            "a circle",
            with(&|v| {
                v["product_tree"]["relationships"][0]["product_reference"] = json!("gate-old");
                v["product_tree"]["relationships"][1]["product_reference"] = json!("cpu-old");
            }),
            3013,
        ),
        (
            "one CVE twice",
            with(&|v| {
                let same = v["vulnerabilities"][0].clone();
                v["vulnerabilities"].as_array_mut().unwrap().push(same);
            }),
            3013,
        ),
        (
            "an unknown group",
            with(&|v| v["vulnerabilities"][0]["flags"] = json!([{ "label": "x", "group_ids": ["g"] }])),
            3013,
        ),
        (
            "a group twice",
            with(
                &|v| v["product_tree"]["product_groups"] = json!([{ "group_id": "g", "product_ids": ["cpu"] }, { "group_id": "g", "product_ids": ["gate"] }]),
            ),
            3013,
        ),
    ];
    parse(&document(tree(), affected())).unwrap();
    for (what, value, code) in rows {
        let error = parse(&value).expect_err(what);
        assert_eq!(error.code(), ReasonCode(code), "{what}: {error}");
    }
}

#[test]
fn what_leaves_the_rest_as_good_as_it_was_is_noted_and_not_used() {
    let mut tree = tree();
    let helper = json!({ "purl": "pkg:maven/@1", "cpe": "cpe:x", "hashes": [{ "filename": "f", "file_hashes": [
        { "algorithm": "sha256", "value": "00" }, { "algorithm": "SHA256", "value": "01" } ] }] });
    tree["branches"][0]["branches"][1]["branches"][1]["product"]["product_identification_helper"] = helper;
    tree["branches"][0]["branches"][0]["branches"][1]["name"] = json!("prior to 4.2");
    let mut holes = hole(json!({ "known_affected": ["cpu-old"], "known_not_affected": ["fw-new"] }));
    holes[0]["scores"][0]["cvss_v3"]["baseScore"] = json!(11);
    let mut value = document(tree, holes);
    value["document"]["category"] = json!("csaf_vex");
    let csaf = parse(&value).unwrap();
    let kinds: Vec<NoteKind> = csaf.notes.iter().map(|note| note.kind).collect();
    let expected = [
        NoteKind::RangeAsVersion,
        NoteKind::Purl,
        NoteKind::Cpe,
        NoteKind::Hash,
        NoteKind::Unjustified,
        NoteKind::Score,
    ];
    assert_eq!(kinds, expected);
    assert_eq!(csaf.vulnerabilities[0].statements.len(), 1, "not affected, and nobody says why");
    assert_eq!(csaf.vulnerabilities[0].score, None);
}

#[test]
fn what_has_no_end_is_refused_before_it_costs_much() {
    let mut branch = json!({ "category": "product_name", "name": "x" });
    for _ in 0..MAX_DEPTH {
        branch = json!({ "category": "product_family", "name": "x", "branches": [branch] });
    }
    assert!(matches!(
        parse(&document(json!({ "branches": [branch] }), json!([]))),
        Err(CsafError::TooMany { .. })
    ));
    let names: Vec<Value> = (0..2000).map(|n| json!({ "product_id": n.to_string(), "name": "x" })).collect();
    let ids: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
    let tree =
        json!({ "full_product_names": names, "product_groups": [{ "group_id": "g", "product_ids": ids }] });
    let flags: Vec<Value> = (0..1100).map(|_| json!({ "label": "x", "group_ids": ["g"] })).collect();
    let holes = json!([{ "cve": "CVE-2026-1", "flags": flags }]);
    assert!(matches!(
        parse(&document(tree, holes)),
        Err(CsafError::TooMany { what: "references to products", .. })
    ));
}

#[test]
fn a_long_name_above_many_products_is_refused() {
    let versions: Vec<Value> = (0..40_000)
        .map(|n| json!({ "category": "product_version", "name": "1", "product": { "product_id": n.to_string(), "name": "x" } }))
        .collect();
    for (len, expected) in [(2001, "bytes in the name of a branch"), (1900, "bytes of products, taken apart")]
    {
        let tree =
            json!({ "branches": [{ "category": "vendor", "name": "v".repeat(len), "branches": versions }] });
        let found = parse(&document(tree, json!([])));
        assert!(matches!(found, Err(CsafError::TooMany { what, .. }) if what == expected), "{len}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_document_or_refused(text in "[\\[\\]{}\":,a-z0-9]{0,60}") {
        let _ = Csaf::parse(text.as_bytes());
    }

    /// A document cut or changed at any byte is refused or read, never a panic.
    #[test]
    fn a_document_changed_anywhere_is_read_or_refused(at in 0usize..4000, byte in any::<u8>()) {
        let mut bytes = document(tree(), hole(json!({ "known_affected": ["cpu-old"] }))).to_string().into_bytes();
        let at = at % bytes.len();
        let _ = Csaf::parse(&bytes[..at]);
        bytes[at] = byte;
        let _ = Csaf::parse(&bytes);
    }
}
