//! The site's own rules: tried away from any gateway, asked for each image, part of what approvers sign.

use headgate_tests::{Bench, image};

const RULES: &str = "package headgate\n\
    default allow := false\n\
    allow if input.controller.vendor == \"acme\"\n\
    deny contains msg if {\n\
    \tnot startswith(input.image.version, \"2.\")\n\
    \tmsg := sprintf(\"version %v is not of the 2 series\", [input.image.version])\n\
    }\n";
const TESTS: &str = "package headgate_test\n\
    import data.headgate\n\
    test_one_is_refused if count(headgate.deny) == 1 with input as {\"image\": {\"version\": \"1.0\"}}\n\
    test_two_passes if count(headgate.deny) == 0 with input as {\"image\": {\"version\": \"2.0\"}}\n";

fn refused(bench: &Bench, args: &[&str], exit: i32, parts: &[&str]) {
    let (found, error) = bench.refused(args);
    assert!(found == exit && parts.iter().all(|part| error.contains(part)), "{args:?}: {found} {error}");
}

#[test]
fn a_policy_is_tried_before_it_is_put_in_force() {
    let bench = Bench::unprovisioned();
    bench.write("site.rego", RULES.as_bytes());
    bench.write("site_test.rego", TESTS.as_bytes());
    let said = bench.headgate(&["policy", "test", "site.rego", "site_test.rego"]);
    assert!(said.contains("2 passed, 0 failed"), "{said}");
    bench.write("wrong_test.rego", TESTS.replace("== 1", "== 2").as_bytes());
    let run = bench.try_headgate(&["policy", "test", "site.rego", "wrong_test.rego"]);
    let said = String::from_utf8_lossy(&run.stdout);
    assert_eq!(run.status.code(), Some(40), "{said}");
    assert!(said.contains("FAILED  data.headgate_test.test_one_is_refused"), "{said}");
    for (text, expected) in [
        ("package headgate\nallow if rand.intn(\"a\", 2) == 1\n", "rand is not to be had"),
        ("package headgate\nallow := true\n", "there is no data.headgate.deny"),
        ("package headgate\nallow := \n", "--> bad.rego"),
    ] {
        bench.write("bad.rego", text.as_bytes());
        refused(&bench, &["policy", "test", "bad.rego"], 2, &[expected]);
    }
    refused(&bench, &["policy", "test", "absent.rego"], 3, &["absent.rego"]);
}

#[test]
fn the_sites_rules_are_asked_for_each_image_and_are_part_of_the_configuration() {
    let mut bench = Bench::new();
    let _plc = bench.controller("pump-3", "generic-file-record", "match", &image());
    bench.write("site.rego", RULES.as_bytes());
    bench.reconfigure(
        "[[plc]]\n",
        "[policy]\nfiles = [\"site.rego\"]\n[[zone]]\nid = \"wet-well\"\n[[plc]]\nzone = \"wet-well\"\n",
    );
    bench.trust_acme();
    bench.write("new.bin", &image());
    bench.openssl(&[
        "pkeyutl",
        "-sign",
        "-rawin",
        "-inkey",
        "acme.pem",
        "-in",
        "new.bin",
        "-out",
        "new.bin.sig",
    ]);
    bench.start();
    let verify = |version: &'static str| ["verify", "new.bin", "--plc", "pump-3", "--version", version];
    refused(&bench, &verify("1.9"), 40, &["HG-4101", "version 1.9 is not of the 2 series", "docs/policy.md"]);
    let said = bench.headgate(&verify("2.1"));
    assert!(said.contains("policy") && said.contains("the policy lets it pass"), "{said}");
    bench.headgate(&["config", "digest", "--out", "effective.json"]);
    let shown = std::fs::read_to_string(bench.path("effective.json")).expect("the canonical form");
    assert!(shown.contains("is not of the 2 series"), "approvers sign the rules with the rest: {shown}");

    bench.kill();
    bench.reconfigure("id = \"wet-well\"\n", "id = \"wet-well\"\npolicy = \"warn\"\n");
    bench.start();
    let said = bench.headgate(&verify("1.9"));
    assert!(said.contains("told only: HG-4101"), "{said}");

    bench.kill();
    bench.reconfigure("files = [\"site.rego\"]\n", "files = [\"site.rego\"]\nexpires = \"2026-01-31\"\n");
    bench.start();
    refused(&bench, &verify("2.1"), 51, &["HG-4104", "2026-01-31"]);
    bench.write("site.rego", b"package headgate\n");
    refused(&bench, &["config", "check"], 2, &["[policy]", "there is no data.headgate.allow"]);
}
