//! An image signed with certificates (CMS), from the authority's pin to the controller; and a revocation list that stops
//! what was released before.

use firmware_verifier::Digest;
use headgate_tests::{Bench, eventually, image};

fn old_firmware() -> Vec<u8> {
    image().iter().take(4096).map(|b| b ^ 0x5A).collect()
}

fn new_firmware() -> Vec<u8> {
    image().into_iter().take(20_001).collect()
}

const CONFIG: &str = "[ca]\ndefault_ca = acme\n[acme]\ndatabase = index.txt\nserial = serial\nnew_certs_dir = .\n\
    certificate = ca.pem\nprivate_key = ca.key\ndefault_md = sha256\ndefault_days = 30\ndefault_crl_days = 7\n\
    crlnumber = crlnumber\ncrl_extensions = list\npolicy = any\n[any]\ncommonName = supplied\n[list]\n\
    authorityKeyIdentifier = keyid\n[req]\ndistinguished_name = dn\n[dn]\n[authority]\n\
    basicConstraints = critical,CA:true\nsubjectKeyIdentifier = hash\n[code]\nbasicConstraints = CA:false\n\
    extendedKeyUsage = codeSigning\n";

/// The vendor's authority and its release certificate, made by openssl.
fn authority(bench: &Bench) {
    for (file, text) in [("ca.cnf", CONFIG), ("index.txt", ""), ("serial", "01\n"), ("crlnumber", "01\n")] {
        bench.write(file, text.as_bytes());
    }
    let run = |line: &str| bench.openssl(&line.split_whitespace().collect::<Vec<_>>());
    run("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 30 \
         -subj /CN=Acme-Root -config ca.cnf -extensions authority");
    run(
        "req -new -newkey rsa:2048 -nodes -keyout release.key -out release.csr -subj /CN=Acme-Release -config ca.cnf",
    );
    run("ca -batch -config ca.cnf -in release.csr -out release.pem -notext -extensions code");
}

fn sign(bench: &Bench, name: &str, image: &[u8]) {
    bench.write(name, image);
    let line = format!(
        "cms -sign -binary -in {name} -signer release.pem -inkey release.key -md sha256 -outform DER -out {name}.p7s"
    );
    bench.openssl(&line.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn an_image_signed_with_a_certificate_lands_until_its_authority_revokes_it() {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", "generic-file-record", "match", &old_firmware());
    bench.start();
    authority(&bench);
    sign(&bench, "new.bin", &new_firmware());
    let verify = ["verify", "new.bin", "--plc", "pump-3"];
    let (exit, error) = bench.refused(&verify);
    assert!(exit == 13 && error.contains("HG-1020"), "{exit} {error}");

    let pin = |signer: &str| {
        let of = ["--name", "acme release", "--vendor", "acme", "--model", "px-200"];
        bench.headgate(&[&["trust", "add", "ca.pem", "--signer", signer], &of[..]].concat())
    };
    let (exit, error) = bench.refused(&[
        "trust",
        "add",
        "release.pem",
        "--signer",
        "x",
        "--name",
        "x",
        "--vendor",
        "acme",
        "--model",
        "*",
    ]);
    assert!(exit != 0 && error.contains("may not certify others"), "{exit} {error}");
    let (exit, error) =
        bench.refused(&["trust", "add", "ca.pem", "--signer", "x", "--name", "x", "--role", "approver"]);
    assert!(exit != 0 && error.contains("sign images alone"), "{exit} {error}");
    pin("Somebody");
    let (exit, error) = bench.refused(&verify);
    assert!(
        exit == 13 && error.contains("by somebody else") && error.contains("Acme-Release"),
        "{exit} {error}"
    );
    pin("Acme-Release");
    let shown = bench.headgate(&["trust", "show"]);
    assert!(shown.contains("x509") && shown.contains("signer \"Acme-Release\""), "{shown}");
    let alone = bench.headgate(&["verify", "new.bin", "--anchor", "ca.pem", "--signer", "Acme-Release"]);
    assert!(alone.contains("VERIFIED") || alone.contains("verified"), "{alone}");

    bench.headgate(&verify);
    bench.headgate(&["stage", "new.bin", "--plc", "pump-3"]);
    let digest = Digest::of(&new_firmware()).to_hex();
    bench.headgate(&["release", &digest, "--plc", "pump-3", "--ticket", "CHG-1", "--uses", "2"]);
    bench.headgate(&["deliver", &digest, "--plc", "pump-3"]);
    plc.wait_flash(&new_firmware());
    eventually("the delivery to end", || {
        bench.headgate(&["explain", "C-000001"]).contains(": done").then_some(())
    });

    bench.openssl(&["ca", "-config", "ca.cnf", "-revoke", "release.pem"]);
    bench.openssl(&["ca", "-config", "ca.cnf", "-gencrl", "-out", "revoked.crl"]);
    let said = bench.headgate(&["trust", "crl", "revoked.crl"]);
    assert!(said.contains("revocation list of") && said.contains("acme release"), "{said}");
    let (exit, error) = bench.refused(&verify);
    assert!(exit == 14 && error.contains("HG-1080"), "{exit} {error}");
    let (exit, error) = bench.refused(&["deliver", &digest, "--plc", "pump-3"]);
    assert!(exit == 14 && error.contains("HG-1080"), "what was released is refused, too: {exit} {error}");
    let (_, error) = bench.refused(&["trust", "crl", "revoked.crl"]);
    assert!(error.contains("counts already"), "{error}");
    let log = bench.headgate(&["audit", "list"]);
    assert!(log.contains("revocation list of"), "{log}");
    bench.kill();
    bench.start();
    let (exit, _) = bench.refused(&verify);
    assert_eq!(exit, 14, "and after a restart");
}

/// The conformance suite's bundle of a second-generation log, with the keys of its instance.
#[test]
fn a_sigstore_identity_is_pinned_with_its_instance_and_its_issuer() {
    let Some(suite) = headgate_tests::vectors("sigstore-conformance-sample/bundle-verify") else { return };
    let mut bench = Bench::new();
    bench.controller("pump-3", "generic-file-record", "match", &old_firmware());
    bench.start();
    let copy = |from: &str, to: &str| bench.write(to, &std::fs::read(suite.join(from)).expect("a vector"));
    copy("a.txt", "a.bin");
    copy("rekor2-happy-path/bundle.sigstore.json", "a.bin.sigstore.json");
    copy("rekor2-happy-path/trusted_root.json", "root.json");
    let identity = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/\
                    extremely-dangerous-oidc-beacon.yml@refs/heads/main";
    let issuer = "https://token.actions.githubusercontent.com";
    let verify = ["verify", "a.bin", "--plc", "pump-3"];
    let pin = |identity: &str, name: &str| {
        let who = ["--identity", identity, "--issuer", issuer, "--name", name];
        bench.headgate(
            &[&["trust", "add", "root.json"], &who[..], &["--vendor", "acme", "--model", "*"]].concat(),
        )
    };
    pin("somebody@example.com", "somebody");
    let (exit, error) = bench.refused(&verify);
    assert!(exit == 13 && error.contains("HG-1020") && error.contains("another identity"), "{exit} {error}");
    pin(identity, "acme builds");
    bench.headgate(&verify);
    let shown = bench.headgate(&["trust", "show"]);
    assert!(shown.contains("sigstore") && shown.contains(identity) && shown.contains(issuer), "{shown}");
    let root = std::fs::read(bench.path("root.json")).expect("written above");
    let print = Digest::of(&root).to_hex();
    assert!(shown.contains(&print), "the fingerprint is that of the file: {shown}");
    assert!(bench.headgate(&["audit", "list"]).contains(&print));
    let ignored = [&verify[..], &["--identity", identity, "--issuer", issuer]].concat();
    let (exit, error) = bench.refused(&ignored);
    assert!(exit == 2 && error.contains("the trust store says who may sign"), "{exit} {error}");
    let alone = ["verify", "a.bin", "--anchor", "root.json", "--identity", identity, "--issuer", issuer];
    bench.headgate(&alone);
    bench.write("b.bin", b"another");
    let other = ["verify", "b.bin", "--plc", "pump-3", "--signature", "a.bin.sigstore.json"];
    let (exit, error) = bench.refused(&other);
    assert!(exit == 12 && error.contains("HG-1010"), "{exit} {error}");
}
