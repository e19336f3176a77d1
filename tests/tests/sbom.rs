//! A list of parts comes along with an image: demanded by the zone, signed by the vendor, kept beside the image, and told in
//! the receipt.

use firmware_verifier::Digest;
use headgate_tests::peers::python;
use headgate_tests::{Bench, Plc, eventually, image};

fn old_firmware() -> Vec<u8> {
    image().iter().take(4096).map(|b| b ^ 0x5A).collect()
}

fn new_firmware() -> Vec<u8> {
    image().into_iter().take(9001).collect()
}

/// A controller in a zone that demands lists of parts, and an image for it that acme has signed.
fn site() -> (Bench, Plc) {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", "generic-file-record", "match", &old_firmware());
    bench.reconfigure(
        "[[plc]]\n",
        "[[zone]]\nid = \"wet-well\"\nsbom = \"required\"\n[[plc]]\nzone = \"wet-well\"\n",
    );
    bench.trust_acme();
    bench.start();
    bench.write("new.bin", &new_firmware());
    sign(&bench, "new.bin");
    (bench, plc)
}

fn sign(bench: &Bench, name: &str) {
    let sig = format!("{name}.sig");
    bench.openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", "acme.pem", "-in", name, "-out", &sig]);
}

/// Writes a list of two parts of `image`.
fn list(bench: &Bench, name: &str, image: &[u8]) {
    let digest = Digest::of(image).to_hex();
    let text = format!(
        r#"{{"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": {{"timestamp": "2026-01-31T10:00:00Z",
            "component": {{"type": "firmware", "name": "px-200", "version": "2.14.0",
                "hashes": [{{"alg": "SHA-256", "content": "{digest}"}}]}}}},
            "components": [{{"type": "library", "name": "zlib", "version": "1.2.11"}},
                {{"type": "library", "name": "lwip", "version": "2.1.2"}}]}}"#
    );
    bench.write(name, text.as_bytes());
}

fn refused(bench: &Bench, args: &[&str], exit: i32, parts: &[&str]) {
    let (found, error) = bench.refused(args);
    assert!(found == exit && parts.iter().all(|part| error.contains(part)), "{args:?}: {found} {error}");
}

#[test]
fn a_zone_that_demands_lists_of_parts_takes_no_image_without_its_own() {
    let (mut bench, plc) = site();
    let stage = ["stage", "new.bin", "--plc", "pump-3"];
    let with = |sbom: &'static str| [&stage[..], &["--sbom", sbom]].concat();
    refused(&bench, &stage, 30, &["HG-3001", "--sbom FILE"]);
    list(&bench, "other.json", b"another image");
    list(&bench, "px.json", &new_firmware());
    refused(&bench, &with("px.json"), 30, &["HG-3003", "an SBOM without a signature"]);
    refused(&bench, &with("absent.json"), 3, &["absent.json"]);
    refused(&bench, &with("new.bin"), 30, &["HG-3002", "CycloneDX 1.4 to 1.6"]);
    sign(&bench, "other.json");
    refused(&bench, &with("other.json"), 30, &["HG-3004", "an SBOM of sha256:"]);
    refused(
        &bench,
        &[&with("px.json")[..], &["--sbom-signature", "other.json.sig"]].concat(),
        30,
        &["HG-3003"],
    );
    let mut large = vec![b' '; 6_000_001];
    large[0] = b'{';
    bench.write("large.json", &large);
    refused(&bench, &with("large.json"), 2, &["at most 6000000"]);
    assert_eq!(
        bench.json(&["vault", "list"])["images"].as_array().map(Vec::len),
        Some(0),
        "nothing was kept"
    );

    sign(&bench, "px.json");
    let said = bench.json(&with("px.json"));
    let stages = said["evidence"].as_array().expect("evidence");
    let sbom = stages.iter().find(|row| row["stage"] == "sbom").expect("the stage");
    assert_eq!(sbom["outcome"], "passed", "{said}");
    assert!(sbom["found"].as_str().expect("a text").starts_with("CycloneDX 1.6 of 2 components"), "{sbom}");

    // What lies beside the image is checked again for each use, also by the next process.
    bench.kill();
    bench.start();
    let digest = Digest::of(&new_firmware()).to_hex();
    bench.headgate(&["release", &digest, "--plc", plc.id]);
    let path = bench.path("new.bin").display().to_string();
    let load = || python("station.py", &[&plc.conduit.port().to_string(), &path, "generic-file-record"]).code;
    eventually("the update passes", || (load() == 0).then_some(()));
    plc.wait_flash(&new_firmware());
    let receipt = eventually("a receipt is signed", || {
        let said = bench.try_headgate(&["receipt", "C-000001"]);
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        said.contains("CycloneDX 1.6 of 2 components").then_some(said)
    });
    assert!(receipt.contains("sbom"), "{receipt}");
}

#[test]
fn given_keys_alone_check_a_list_as_the_gate_does() {
    let (bench, _plc) = site();
    bench.openssl(&["pkey", "-in", "acme.pem", "-pubout", "-out", "acme.pub"]);
    let verify = |more: &[&'static str]| [&["verify", "new.bin", "--anchor", "acme.pub"], more].concat();
    bench.headgate(&verify(&[]));
    list(&bench, "px.json", &new_firmware());
    refused(&bench, &verify(&["--sbom", "px.json"]), 30, &["HG-3003"]);
    refused(&bench, &verify(&["--sbom-signature", "new.bin.sig"]), 2, &["--sbom"]);
    sign(&bench, "px.json");
    let said = bench.headgate(&verify(&["--sbom", "px.json"]));
    assert!(said.contains("CycloneDX 1.6 of 2 components"), "{said}");
    // The list itself is signed by the same key, and is still no image.
    refused(&bench, &["verify", "px.json", "--anchor", "acme.pub"], 11, &["HG-1042"]);
}
