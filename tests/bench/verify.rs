//! What it costs to check a signed image of the largest size: the whole command `headgate verify`, and
//! `openssl dgst -sha256 -verify` on the same file, which is one SHA-256 and a P-256 signature.
//!
//! Wall time of whole processes, file read from the page cache. Headgate needs two hashes of the image
//! where OpenSSL needs one, and takes a second CPU for it; so nothing is kept on one CPU here.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use firmware_verifier::signature::SignatureFile;
use firmware_verifier::signature::ed25519::StrictStream;
use firmware_verifier::signature::minisign::MinisignStream;
use firmware_verifier::trust::PublicKey;
use headgate_tests::{headgate, peers::run};

use crate::ROUNDS;
use crate::figure::{Bound, figure, median, ratios};

pub(crate) fn measure() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let dir = dir.path();
    prepare(dir);
    let dgst = ["dgst", "-sha256", "-verify", "p256.pub", "-signature", "p256.sig", "image.bin"];
    let ours = |key, signature| ["verify", "image.bin", "--anchor", key, "--signature", signature];
    let (minisign, ed25519) = (ours("mini.pub", "mini.sig"), ours("ed.pub", "ed.sig"));
    let headgate = headgate();
    let mut rows: [(&str, Vec<f64>); 5] =
        ["openssl dgst", "minisign", "minisign signature", "ed25519", "ed25519 signature"]
            .map(|n| (n, vec![]));
    for _ in 0..=ROUNDS {
        let times = [
            time(|| command(dir, Path::new("openssl"), &dgst)),
            time(|| command(dir, &headgate, &minisign)),
            time(|| minisign_alone(dir)),
            time(|| command(dir, &headgate, &ed25519)),
            time(|| ed25519_alone(dir)),
        ];
        rows.iter_mut().zip(times).for_each(|((_, row), time)| row.push(time));
    }
    println!("verify-64m: {ROUNDS} rounds, wall time");
    for (name, row) in &mut rows {
        row.remove(0); // the first one warms up
        println!("  {name:<20}{:>8.1} ms", median(row));
    }
    let [(_, openssl), (_, minisign), (_, minisign_alone), (_, ed25519), (_, ed25519_alone)] = &rows;
    let say = |name: &str, row: &[f64], bound: f64| {
        figure(&format!("verify-64m-{name}"), "ratio", &ratios(row, openssl), Bound::AtMost(bound));
    };
    say("minisign", minisign, 1.10);
    say("minisign-signature", minisign_alone, 1.0);
    say("ed25519", ed25519, 1.10);
    say("ed25519-signature", ed25519_alone, 1.0);
}

/// An image and its signatures, each made by the tool whose kind it is.
fn prepare(dir: &Path) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let image: Vec<u8> = (0..firmware_verifier::MAX_IMAGE / 8).flat_map(|_| word()).collect();
    std::fs::write(dir.join("image.bin"), image).expect("writable");
    let commands: [&[&str]; 8] = [
        &["openssl", "genpkey", "-algorithm", "ed25519", "-out", "ed.key"],
        &["openssl", "pkey", "-in", "ed.key", "-pubout", "-out", "ed.pub"],
        &["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", "ed.key", "-in", "image.bin", "-out", "ed.sig"],
        &[
            "openssl",
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
            "p256.key",
        ],
        &["openssl", "pkey", "-in", "p256.key", "-pubout", "-out", "p256.pub"],
        &["openssl", "dgst", "-sha256", "-sign", "p256.key", "-out", "p256.sig", "image.bin"],
        &["minisign", "-G", "-W", "-p", "mini.pub", "-s", "mini.key"],
        &["minisign", "-S", "-W", "-s", "mini.key", "-m", "image.bin", "-x", "mini.sig"],
    ];
    for command in commands {
        let said = run(dir, command[0], &command[1..]);
        assert_eq!(said.code, 0, "{command:?}: {}", said.text);
    }
}

/// Milliseconds that `work` takes.
fn time(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e3
}

fn command(dir: &Path, program: &Path, args: &[&str]) {
    let mut command = Command::new(program);
    command.current_dir(dir).args(args).stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().expect("it is installed");
    assert!(status.success(), "{program:?} {args:?}");
}

/// The signature stage without the others, in this process.
fn minisign_alone(dir: &Path) {
    let (SignatureFile::Minisign(signature), key) = files(dir, "mini") else { panic!("a minisign file") };
    let mut hash = MinisignStream::default();
    pieces(dir, |piece| hash.update(piece));
    signature.verify(&key, &hash.finish()).expect("a good signature");
}

/// As [`minisign_alone`].
fn ed25519_alone(dir: &Path) {
    let (SignatureFile::Ed25519(signature), key) = files(dir, "ed") else { panic!("a raw signature") };
    let mut stream =
        StrictStream::new(key.edwards().expect("an Ed25519 key"), &signature).expect("a strict signature");
    pieces(dir, |piece| stream.update(piece));
    stream.finish().expect("a good signature");
}

fn files(dir: &Path, name: &str) -> (SignatureFile, PublicKey) {
    let read = |end: &str| std::fs::read(dir.join(format!("{name}.{end}"))).expect("readable");
    let signature = SignatureFile::parse(&read("sig")).expect("a signature");
    (signature, PublicKey::parse(&read("pub")).expect("a public key"))
}

fn pieces(dir: &Path, mut take: impl FnMut(&[u8])) {
    let mut file = File::open(dir.join("image.bin")).expect("readable");
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer).expect("readable") {
            0 => return,
            n => take(&buffer[..n]),
        }
    }
}
