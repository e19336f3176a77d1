//! Signatures made by the tools people have, `minisign` and `openssl`, over a real firmware image
//! (Debian package u-boot-qemu), through the whole gauntlet.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use firmware_verifier::Verdict;
use firmware_verifier::reasons as r;
use firmware_verifier::signature::{SignatureFile, SignatureFileError};
use firmware_verifier::trust::{Anchor, KeyFileError, PublicKey, Scope, TrustStore};
use hal::clock::Wall;

const IMAGE: &str = "/usr/lib/u-boot/qemu_arm64/u-boot.bin";
const NOW: Wall = Wall::trusted(1_800_000_000_000);

/// A fresh folder for one test, when image and `tool` are here; CI must have both.
fn bench(tool: &str, name: &str) -> Option<(PathBuf, Vec<u8>)> {
    // `minisign -v` and `openssl version`: neither reads a file.
    let arg = if tool == "minisign" { "-v" } else { "version" };
    let here = Command::new(tool).arg(arg).output().is_ok();
    match std::fs::read(IMAGE) {
        Ok(image) if here => {
            let folder =
                Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            Some((folder, image))
        }
        _ if std::env::var_os("CI").is_some() => panic!("{tool} or {IMAGE} is missing"),
        _ => {
            eprintln!("skipped: {tool} or {IMAGE} is missing");
            None
        }
    }
}

fn run(folder: &Path, command: &str) {
    let mut words = command.split(' ');
    let tool = Command::new(words.next().unwrap()).args(words).current_dir(folder).output().unwrap();
    assert!(tool.status.success(), "{command}: {}", String::from_utf8_lossy(&tool.stderr));
}

fn verdict(folder: &Path, key: &str, signature: &str, image: &[u8]) -> Verdict {
    let key = PublicKey::parse(&std::fs::read(folder.join(key)).unwrap()).unwrap();
    let scope = Scope::new("acme", &["*"]).unwrap();
    let anchors = TrustStore::with(1, vec![Anchor::new(key, "acme", scope, NOW).unwrap()]).unwrap();
    let signature = SignatureFile::parse(&std::fs::read(folder.join(signature)).unwrap()).unwrap();
    support::verdict(signature, &anchors, image, NOW)
}

/// Good with its key; refused with one flipped bit, cut short, and with another key.
fn play(folder: &Path, keys: [&str; 2], signature: &str, image: &[u8], other_key: hal::reason::ReasonCode) {
    let good = verdict(folder, keys[0], signature, image);
    assert!(matches!(good, Verdict::Verified(..)), "{:?}", good.evidence());
    let mut flipped = image.to_vec();
    flipped[image.len() / 2] ^= 0x10;
    for changed in [&flipped, &image[..image.len() - 1]] {
        let verdict = verdict(folder, keys[0], signature, changed);
        assert_eq!(verdict.code(), Some(r::SIGNATURE_MISMATCH));
    }
    assert_eq!(verdict(folder, keys[1], signature, image).code(), Some(other_key));
}

#[test]
fn what_openssl_signs_passes() {
    let Some((folder, image)) = bench("openssl", "openssl") else { return };
    for key in ["a", "b"] {
        run(&folder, &format!("openssl genpkey -algorithm ed25519 -out {key}.key"));
        run(&folder, &format!("openssl pkey -in {key}.key -pubout -out {key}.pem"));
    }
    run(&folder, &format!("openssl pkeyutl -sign -rawin -inkey a.key -in {IMAGE} -out raw.sig"));
    run(&folder, "openssl base64 -in raw.sig -out base64.sig");
    for signature in ["raw.sig", "base64.sig"] {
        play(&folder, ["a.pem", "b.pem"], signature, &image, r::SIGNATURE_MISMATCH);
    }
    for key in ["ec-a", "ec-b"] {
        run(
            &folder,
            &format!("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {key}.key"),
        );
        run(&folder, &format!("openssl pkey -in {key}.key -pubout -out {key}.pem"));
    }
    run(&folder, &format!("openssl dgst -sha256 -sign ec-a.key -out ec.sig {IMAGE}"));
    run(&folder, "openssl base64 -in ec.sig -out ec-base64.sig");
    for signature in ["ec.sig", "ec-base64.sig"] {
        play(&folder, ["ec-a.pem", "ec-b.pem"], signature, &image, r::SIGNATURE_MISMATCH);
    }
    let private = PublicKey::parse(&std::fs::read(folder.join("a.key")).unwrap());
    assert_eq!(private, Err(KeyFileError::Private));
    run(&folder, "openssl genpkey -algorithm rsa -out rsa.key");
    run(&folder, "openssl pkey -in rsa.key -pubout -out rsa.pem");
    let rsa = PublicKey::parse(&std::fs::read(folder.join("rsa.pem")).unwrap());
    assert_eq!(rsa, Err(KeyFileError::OtherAlgorithm { found: "RSA" }));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_minisign_signs_passes() {
    let Some((folder, image)) = bench("minisign", "minisign") else { return };
    for key in ["a", "b"] {
        run(&folder, &format!("minisign -G -W -p {key}.pub -s {key}.sec"));
    }
    run(&folder, &format!("minisign -S -W -s a.sec -t u-boot -m {IMAGE} -x a.minisig"));
    play(&folder, ["a.pub", "b.pub"], "a.minisig", &image, r::SIGNER_UNKNOWN);

    let text = std::fs::read_to_string(folder.join("a.minisig")).unwrap();
    let changed = text.replace("trusted comment: u-boot", "trusted comment: u-boat");
    std::fs::write(folder.join("changed.minisig"), changed).unwrap();
    let verdict = verdict(&folder, "a.pub", "changed.minisig", &image);
    assert_eq!(verdict.code(), Some(r::TRUSTED_COMMENT_CHANGED));

    run(&folder, &format!("minisign -S -l -W -s a.sec -m {IMAGE} -x legacy.minisig"));
    let legacy = SignatureFile::parse(&std::fs::read(folder.join("legacy.minisig")).unwrap());
    assert_eq!(legacy, Err(SignatureFileError::Legacy));
    let secret = PublicKey::parse(&std::fs::read(folder.join("a.sec")).unwrap());
    assert_eq!(secret, Err(KeyFileError::Private));

    // The key number is what minisign itself prints in the first line of the public key; before 0.12
    // without leading zeros.
    let public = std::fs::read(folder.join("a.pub")).unwrap();
    let number = PublicKey::parse(&public).unwrap().kind().to_string().replace("minisign ", "");
    assert!(String::from_utf8(public).unwrap().contains(number.trim_start_matches('0')), "{number}");
    std::fs::remove_dir_all(folder).unwrap();
}
