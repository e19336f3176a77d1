//! What it costs to match one chunk of an image: a whole download through the gate, and the same frames
//! through the plain proxy.

use std::net::TcpStream;

use headgate_tests::{Bench, digest, image, peers::run};

use crate::ROUNDS;
use crate::figure::{Bound, figure, median};
use crate::load::{adu, exchange};
use crate::stand::{Candidate, PLC, Stand};

pub(crate) fn measure() {
    let stand = Stand::new(trust_acme);
    release(&stand.bench);
    let image = image();
    let mut chunks = requests(&image);
    let mut of = |name: &str| {
        let candidate = stand.candidates.iter().find(|c| c.name == name).expect("on the stand");
        per_chunk(candidate, &mut chunks, image.len())
    };
    let (mut copy, mut headgate) = (Vec::new(), Vec::new());
    of("headgate"); // the first one warms up
    for _ in 0..ROUNDS {
        copy.push(of("tokio copy"));
        headgate.push(of("headgate"));
    }
    let added: Vec<f64> = headgate.iter().zip(&copy).map(|(a, b)| a - b).collect();
    println!("match-chunk: {} chunks of 240 bytes a round, {ROUNDS} rounds", image.len().div_ceil(240));
    println!("  CPU us/chunk: tokio copy {:.2}, headgate {:.2}", median(&copy), median(&headgate));
    figure("match-chunk-cpu", "added_us", &added, Bound::AtMost(1.0));
}

/// CPU microseconds of the proxy for each chunk of one download, given up before its commit.
fn per_chunk(proxy: &Candidate, chunks: &mut [Vec<u8>], len: usize) -> f64 {
    let mut socket = headgate_tests::connect(proxy.address);
    control(&mut socket, &[1, (len >> 16) as u16, len as u16]);
    std::thread::sleep(SETTLE);
    let before = proxy.cpu();
    for (tid, request) in chunks.iter_mut().enumerate() {
        let reply = request.len();
        exchange(&mut socket, tid as u16, request, reply);
    }
    let spent = proxy.cpu() - before;
    control(&mut socket, &[3]);
    std::thread::sleep(SETTLE);
    spent as f64 / 1e3 / chunks.len() as f64
}

/// Writes the control block.
fn control(socket: &mut TcpStream, words: &[u16]) {
    let mut pdu = vec![16, 0xF0, 0, 0, words.len() as u8, 2 * words.len() as u8];
    words.iter().for_each(|w| pdu.extend_from_slice(&w.to_be_bytes()));
    exchange(socket, 0, &mut adu(&pdu), 12);
}

/// The image as FC 21 requests of 240 bytes.
fn requests(image: &[u8]) -> Vec<Vec<u8>> {
    let mut image = image.to_vec();
    image.resize(image.len().next_multiple_of(2), 0xFF);
    let mut out = Vec::new();
    let mut at = 0;
    while at < image.len() {
        let record = at / 2;
        let (file, record) = (1 + record / RECORDS, record % RECORDS);
        let end = image.len().min(at + 240).min(at + 2 * (RECORDS - record));
        let data = &image[at..end];
        let words = [file, record, data.len() / 2].map(|w| (w as u16).to_be_bytes());
        let head = [21, 7 + data.len() as u8, 6];
        out.push(adu(&[&head, words.as_flattened(), data].concat()));
        at = end;
    }
    out
}

/// Makes a vendor's key with OpenSSL and trusts it.
fn trust_acme(bench: &Bench) {
    openssl(bench, &["genpkey", "-algorithm", "ed25519", "-out", "acme.pem"]);
    openssl(bench, &["pkey", "-in", "acme.pem", "-pubout", "-out", "acme.pub"]);
    bench.headgate(&["trust", "add", "acme.pub", "--name", "acme", "--vendor", "acme", "--model", "px-200"]);
}

/// Signs the image with OpenSSL, stages and releases it.
fn release(bench: &Bench) {
    let image = image();
    bench.write("new.bin", &image);
    let sign = ["pkeyutl", "-sign", "-rawin", "-inkey", "acme.pem", "-in", "new.bin", "-out", "new.bin.sig"];
    openssl(bench, &sign);
    bench.headgate(&["stage", "new.bin", "--plc", PLC]);
    bench.headgate(&["release", &gateway::vault::hex(&digest(&image)), "--plc", PLC]);
}

fn openssl(bench: &Bench, args: &[&str]) {
    let said = run(bench.dir.path(), "openssl", args);
    assert_eq!(said.code, 0, "openssl {args:?}: {}", said.text);
}

/// Records of one file in the profile.
const RECORDS: usize = 10_000;
/// For the judge to write down what it must.
const SETTLE: std::time::Duration = std::time::Duration::from_millis(100);
