//! What it costs to match one chunk of an image: a whole download through the gate, beside as many ordinary
//! writes of the same size through the same gate, and beside the download through the plain proxy.

use std::net::TcpStream;

use headgate_tests::{Bench, digest, image, peers::run};

use crate::figure::{Bound, figure, median};
use crate::load::{adu, exchange};
use crate::stand::{Candidate, PLC, Stand};

pub(crate) fn measure() {
    let stand = Stand::new(trust_acme);
    release(&stand.bench);
    let image = image();
    let mut chunks = requests(&image);
    let count = chunks.len();
    let place = |name: &str| stand.candidates.iter().find(|c| c.name == name).expect("on the stand");
    let (copy, headgate) = (place("tokio copy"), place("headgate"));
    let mut round = || {
        let copied = download(copy, &mut chunks, image.len());
        [copied, writes(headgate, count), download(headgate, &mut chunks, image.len())]
    };
    round(); // warms up
    let rounds: Vec<[f64; 3]> = (0..ROUNDS).map(|_| round()).collect();
    let of = |what: fn(&[f64; 3]) -> f64| rounds.iter().map(what).collect::<Vec<f64>>();
    println!("match-chunk: {count} chunks of 240 bytes a round, {ROUNDS} rounds");
    println!(
        "  CPU us/chunk: tokio copy {:.2}, headgate {:.2}; headgate, ordinary write of 240 bytes {:.2}",
        median(&of(|r| r[0])),
        median(&of(|r| r[2])),
        median(&of(|r| r[1])),
    );
    figure("match-chunk-cpu", "added_us", &of(|r| r[2] - r[1]), Bound::AtMost(1.0));
    figure("match-chunk-cpu-copy", "added_us", &of(|r| r[2] - r[0]), Bound::AtMost(1.0));
}

/// CPU microseconds of the proxy for each chunk of one download, given up before its commit.
fn download(proxy: &Candidate, chunks: &mut [Vec<u8>], len: usize) -> f64 {
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

/// CPU microseconds of the proxy for each of `count` writes that have nothing to do with an image.
fn writes(proxy: &Candidate, count: usize) -> f64 {
    let mut socket = headgate_tests::connect(proxy.address);
    let mut request = adu(&[&[16, 0, 0, 0, 120, 240], [0xA5; 240].as_slice()].concat());
    exchange(&mut socket, 0, &mut request, 12);
    std::thread::sleep(SETTLE);
    let before = proxy.cpu();
    for tid in 1..=count {
        exchange(&mut socket, tid as u16, &mut request, 12);
    }
    (proxy.cpu() - before) as f64 / 1e3 / count as f64
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
/// More than elsewhere: a difference of two costs is noisier than their ratio.
const ROUNDS: usize = 45;
