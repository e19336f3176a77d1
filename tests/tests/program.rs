//! Everyday logic: a ticket and two approvers let it in, it is compared with the last one, and nothing calls it verified.

use std::time::Duration;

use firmware_verifier::document::{Approval, Document, Moment};
use firmware_verifier::dsse::Envelope;
use hal::clock::{Clock, Wall};
use headgate_tests::papers::{approver, sign, signed};
use headgate_tests::peers::python;
use headgate_tests::{Bench, Plc, eventually, image};

const PROFILE: &str = "generic-file-record";

fn old_program() -> Vec<u8> {
    image().iter().take(4096).map(|b| b ^ 0x5A).collect()
}

/// A gateway with a controller whose route loads programs, one that takes firmware, and two approvers.
fn bench() -> (Bench, Plc) {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", PROFILE, "match", &old_program());
    bench.reconfigure("way = \"match\"\n", "way = \"match\"\nclass = \"program\"\n");
    bench.controller("pump-4", PROFILE, "stage", &old_program());
    for name in ["ann", "ben"] {
        approver(&bench, name);
    }
    bench.trust_acme();
    bench.start();
    bench.wait_status("both are connected", |s| {
        (0..2).all(|n| s["plcs"][n]["routes"][0]["connected"] == true)
    });
    (bench, plc)
}

fn stage(bench: &Bench, name: &str, bytes: &[u8]) -> (String, String) {
    bench.write(name, bytes);
    let said = bench.headgate(&["stage", name, "--plc", "pump-3", "--class", "program"]);
    assert!(said.contains("recorded, not verified"), "{said}");
    (gateway::vault::hex(&headgate_tests::digest(bytes)), said)
}

fn refused(bench: &Bench, args: &[&str], exit: i32, code: &str) -> String {
    let (found, error) = bench.refused(args);
    assert!(found == exit && error.contains(code), "{args:?}: {found} {error}");
    error
}

fn load(bench: &Bench, plc: &Plc, name: &str) -> i32 {
    let path = bench.path(name).display().to_string();
    python("station.py", &[&plc.conduit.port().to_string(), &path, PROFILE]).code
}

/// Asks for a release, which is held in `case`, and has `names` approve it one after the other.
fn release(bench: &Bench, digest: &str, case: &str, names: &[&str]) {
    let ask = ["release", digest, "--plc", "pump-3", "--ticket", "CHG-9"];
    assert!(refused(bench, &ask, 60, "HG-4010").contains(case));
    for (n, name) in names.iter().enumerate() {
        let file = format!("{case}-{n}.json");
        bench.headgate(&["held", "approve", case, "--out", &file]);
        sign(bench, &file, name);
        bench.headgate(&["held", "approve", case, "--approval", &file]);
    }
}

#[test]
fn a_program_takes_a_ticket_and_two_approvers_and_is_never_called_verified() {
    let (bench, plc) = bench();
    let first = image()[8192..14_192].to_vec();
    bench.write("first.bin", &first);
    refused(&bench, &["stage", "first.bin", "--plc", "pump-4", "--class", "program"], 40, "HG-4021");
    refused(&bench, &["stage", "first.bin", "--plc", "pump-3"], 10, "HG-1001");
    bench.write("none.bin", b"");
    let text =
        refused(&bench, &["stage", "none.bin", "--plc", "pump-3", "--class", "program"], 11, "HG-1040");
    assert!(text.contains("0 bytes"), "{text}");
    assert!(bench.json(&["vault", "list"])["images"].as_array().is_some_and(Vec::is_empty), "it is not kept");
    let (digest, said) = stage(&bench, "first.bin", &first);
    assert!(said.contains("nothing came through this gateway before"), "{said}");
    assert!(bench.headgate(&["vault", "list"]).contains("program, not verified"));
    refused(&bench, &["release", &digest, "--plc", "pump-3"], 60, "HG-4022");
    refused(&bench, &["release", &digest, "--plc", "pump-4", "--ticket", "CHG-9"], 10, "HG-1001");

    release(&bench, &digest, "C-000001", &["ann", "ann"]);
    assert_eq!(bench.json(&["held", "list"])["held"][0]["have"], 1, "one key counts once");
    assert!(bench.headgate(&["held", "approve", "C-000001"]).contains("payload"));
    refused(&bench, &["deliver", &digest, "--plc", "pump-3"], 60, "HG-4010");
    assert_ne!(load(&bench, &plc, "first.bin"), 0, "one has approved");
    assert_eq!(plc.flash(), old_program());
    let file = "ben.json";
    bench.headgate(&["held", "approve", "C-000001", "--out", file]);
    let shown = bench.headgate(&["sign-document", file, "--key", "ben.pem"]);
    assert!(shown.contains("\"scope\": \"program\""), "who signs reads what it is: {shown}");
    bench.headgate(&["held", "approve", "C-000001", "--approval", file]);
    let connected = || (load(&bench, &plc, "first.bin") == 0).then_some(());
    eventually("the program passes", connected);
    plc.wait_flash(&first);

    let status = bench.wait_status("it is told", |s| s["plcs"][0]["not_verified"].is_string());
    let told = status["plcs"][0]["not_verified"].as_str().expect("a text");
    assert!(told.contains("program, recorded, not verified: approved by"), "{told}");
    assert!(told.contains("ann (key") && told.contains("ben (key"), "{told}");
    let case = told[..8].to_owned();
    let page = eventually("the receipt is signed", || {
        let page = bench.headgate(&["receipt", &case]);
        page.contains("by the TPM of the gateway").then_some(page)
    });
    assert!(
        page.contains("NOT VERIFIED") && page.contains("FAILED: done") && !page.contains("PASSED"),
        "{page}"
    );
    assert!(page.contains("CHG-9") && page.contains("Approved by"), "{page}");
    let story = bench.headgate(&["explain", &case]);
    assert!(story.contains("recorded, not verified"), "{story}");
    let report = bench.json(&["report", "cip-010", "--from", "2020-01-01", "--to", "2100-01-01"]);
    for answer in ["source", "integrity", "before_change"] {
        let answer = &report["changes"][0][answer];
        assert_eq!(answer["shown"], false, "{report}");
        assert!(answer["text"].as_str().is_some_and(|t| t.contains("not verified")), "{report}");
    }
    assert_ne!(load(&bench, &plc, "first.bin"), 0, "one use");
}

#[test]
fn the_next_program_is_compared_with_the_last_and_falls_with_an_approver() {
    let (bench, plc) = bench();
    let first = image()[8192..14_192].to_vec();
    let (digest, _) = stage(&bench, "first.bin", &first);
    release(&bench, &digest, "C-000001", &["ann", "ben"]);
    bench.headgate(&["deliver", &digest, "--plc", "pump-3"]);
    plc.wait_flash(&first);
    bench.wait_status("it is done", |s| s["plcs"][0]["not_verified"].is_string());

    let mut second = first.clone();
    second[1000] ^= 1;
    second.extend_from_slice(&[7; 100]);
    let (digest, said) = stage(&bench, "second.bin", &second);
    assert!(said.contains("2 of 24 blocks of 256 bytes differ, first at 0x300, 0x1700"), "{said}");
    assert!(said.contains("against C-000002") && said.contains("6100 bytes long instead of 6000"), "{said}");
    assert!(bench.headgate(&["audit", "list"]).contains("2 of 24 blocks"));
    release(&bench, &digest, "C-000003", &["ann", "ben"]);
    let anchors = bench.json(&["trust", "show"])["anchors"].clone();
    let ben =
        anchors.as_array().expect("a list").iter().find(|a| a["name"] == "ben").expect("ben")["id"].clone();
    bench.headgate(&["trust", "remove", ben.as_str().expect("an id")]);
    refused(&bench, &["deliver", &digest, "--plc", "pump-3"], 60, "HG-4010");
    assert_ne!(load(&bench, &plc, "second.bin"), 0);
    assert_eq!(plc.flash(), first);
}

/// A gateway with a controller of this profile whose route loads programs, and two approvers. Each answer of the controller
/// takes this long.
fn loader(profile: &str, answer: Duration) -> (Bench, Plc) {
    let mut bench = Bench::new();
    let plc = bench.slow_controller("pump-3", profile, "stage", &old_program(), answer);
    bench.reconfigure("way = \"stage\"\n", "way = \"stage\"\nclass = \"program\"\n");
    for name in ["ann", "ben"] {
        approver(&bench, name);
    }
    bench.start();
    connected(&bench);
    (bench, plc)
}

fn connected(bench: &Bench) {
    bench.wait_status("it is connected", |s| s["plcs"][0]["routes"][0]["connected"] == true);
}

/// As [`release`], on approvals that count only as long as `life`; gives their end.
fn release_for(bench: &Bench, digest: &str, case: &str, life: Duration) -> Wall {
    let ask = ["release", digest, "--plc", "pump-3", "--ticket", "CHG-9", "--uses", "3"];
    assert!(refused(bench, &ask, 60, "HG-4010").contains(case));
    bench.headgate(&["held", "approve", case, "--out", "short.json"]);
    let drafted = std::fs::read(bench.path("short.json")).expect("just written");
    let drafted = Envelope::parse(&drafted).expect("an envelope");
    let mut document = Document::<Approval>::parse(drafted.payload()).expect("an approval");
    let now = Clock::system().wall();
    let until = Wall { ms: now.ms + i64::try_from(life.as_millis()).expect("short"), ..now };
    document.expires = Moment::new(until);
    signed(bench, "short.json", &document, &["ann", "ben"]);
    let said = bench.headgate(&["held", "approve", case, "--approval", "short.json"]);
    assert!(said.contains("released"), "{said}");
    until
}

/// A program that takes seconds to deliver.
fn long(len: usize) -> Vec<u8> {
    image().into_iter().cycle().take(len).collect()
}

/// Begins a delivery and kills the gateway in the middle of it; then waits until the approvals count no more.
fn half_delivered(bench: &mut Bench, digest: &str, until: Wall) {
    bench.headgate(&["deliver", digest, "--plc", "pump-3"]);
    bench.wait_status("a part of it is there", |s| s["plcs"][0]["delivery"][1].as_u64() > Some(0));
    bench.kill();
    assert!(Clock::system().wall().ms < until.ms, "the approvals still counted when it was cut off");
    eventually("the approvals expire", || (Clock::system().wall().ms > until.ms).then_some(()));
    bench.start();
}

#[test]
fn a_program_past_its_point_of_no_return_is_finished_although_its_approvals_have_expired() {
    // Its first step erases what the controller runs.
    let (mut bench, plc) = loader("ocp-rackmon-panasonic", Duration::ZERO);
    let program = long(96 * 10_000); // whole blocks: the flash holds no padding
    let (digest, _) = stage(&bench, "long.bin", &program);
    let until = release_for(&bench, &digest, "C-000001", LIFE);
    half_delivered(&mut bench, &digest, until);
    plc.wait_flash(&program);
    bench.wait_status("the case is closed", |s| s["open_cases"].as_array().is_some_and(Vec::is_empty));
    let story = bench.headgate(&["explain", "C-000002"]);
    assert!(story.contains("past the point of no return") && story.contains("done"), "{story}");
    assert!(story.contains("delivery goes on from the vault: program, recorded, not verified"), "{story}");
    // That was the end of them: nothing else begins on approvals that have expired.
    refused(&bench, &["deliver", &digest, "--plc", "pump-3"], 61, "HG-4002");
    assert_eq!(bench.json(&["vault", "show", &digest])["releases"][0]["uses_left"], 2, "one use, not two");
}

#[test]
fn a_program_before_its_point_of_no_return_is_given_up_when_its_approvals_have_expired_and_nothing_is_stuck()
{
    // The old program runs until the commit.
    let (mut bench, plc) = loader(PROFILE, Duration::from_millis(1));
    let program = long(2_000_000);
    let (digest, _) = stage(&bench, "long.bin", &program);
    let until = release_for(&bench, &digest, "C-000001", LIFE);
    half_delivered(&mut bench, &digest, until);
    assert_eq!(plc.flash(), old_program());
    let story = bench.headgate(&["explain", "C-000002"]);
    assert!(story.contains("aborted") && story.contains("before anything was written"), "{story}");
    connected(&bench);
    let said = refused(&bench, &["deliver", &digest, "--plc", "pump-3"], 61, "HG-4002");
    assert!(said.contains("release the image again"), "it says what to do: {said}");
    assert_eq!(plc.flash(), old_program());
    // Approved anew it goes in.
    release(&bench, &digest, "C-000003", &["ann", "ben"]);
    bench.headgate(&["deliver", &digest, "--plc", "pump-3"]);
    plc.wait_flash(&program);
}

/// Time to sign, to bring the approvals and to begin a delivery, on a machine that is busy.
const LIFE: Duration = Duration::from_secs(25);
