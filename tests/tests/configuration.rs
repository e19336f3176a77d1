//! Configurations that approvers have signed: what runs, what is refused, and what an attacker with the disk gets.

use firmware_verifier::dsse::Envelope;
use headgate_tests::{Bench, Plc, eventually, image};

/// A gateway with one controller and two approvers, not running.
fn bench() -> (Bench, Plc) {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", "generic-file-record", "match", &image()[..4096]);
    for name in ["ann", "ben"] {
        let (private, public) = (format!("{name}.pem"), format!("{name}.pub"));
        bench.openssl(&["genpkey", "-algorithm", "ed25519", "-out", &private]);
        bench.openssl(&["pkey", "-in", &private, "-pubout", "-out", &public]);
        bench.headgate(&["trust", "add", &public, "--name", name, "--role", "approver"]);
    }
    (bench, plc)
}

/// Drafts an approval of what the files say now, and has each of `who` sign it.
fn draft(bench: &Bench, file: &str, who: &[&str]) -> String {
    let said = bench.headgate(&["config", "digest", "--draft", file, "--reason", "a test"]);
    for name in who {
        bench.headgate(&["sign-document", file, "--key", &format!("{name}.pem")]);
    }
    said
}

fn approve(bench: &Bench, file: &str, who: &[&str]) -> String {
    draft(bench, file, who);
    bench.headgate(&["config", "approve", file])
}

/// Writes the unsigned document of `from` with another text in it.
fn forge(bench: &Bench, from: &str, old: &str, new: &str, to: &str) {
    let envelope = Envelope::parse(&std::fs::read(bench.path(from)).expect("readable")).expect("an envelope");
    let payload = String::from_utf8_lossy(envelope.payload()).replace(old, new);
    let forged = Envelope::new(envelope.payload_type(), payload.into_bytes()).expect("small");
    bench.write(to, forged.to_json().expect("JSON").as_bytes());
}

fn restart(bench: &mut Bench) {
    bench.kill();
    bench.start_anyhow();
}

/// Whether a read passes, as it must whatever happened.
fn reads_pass(plc: &Plc) {
    eventually("reads pass", || plc.exchange(1, &[3, 0, 0, 0, 1]).ok().filter(|r| r[0] == 3));
}

/// A write that the allow-list does not name.
fn wide_write(plc: &Plc) -> u8 {
    eventually("an answer", || plc.exchange(1, &[6, 0, 150, 0, 1]).ok())[0]
}

/// The opening step of an update that nothing was released for.
fn begin(plc: &Plc) -> u8 {
    plc.exchange(1, &[16, 0xF0, 0, 0, 3, 6, 0, 1, 0, 0, 4, 0]).expect("an answer")[0]
}

fn gate_shut(bench: &Bench, code: &str) -> String {
    let status = bench.wait_status(&format!("the gate is shut with {code}"), |s| s["gate"]["code"] == code);
    bench.wait_alarm(code);
    status["gate"]["text"].as_str().expect("a text").into()
}

#[test]
fn comments_and_order_change_nothing_and_sha256sum_finds_the_digest() {
    let (mut bench, _plc) = bench();
    let before = bench.json(&["config", "digest", "-o", "canonical.json"]);
    let digest = before["given"].as_str().expect("a digest").to_owned();
    let sum = headgate_tests::peers::run(bench.dir.path(), "sha256sum", &["canonical.json"]);
    assert!(digest.ends_with(sum.text.split_whitespace().next().expect("a sum")), "{digest} {}", sum.text);
    bench.reconfigure("vendor = \"acme\"\nmodel = \"px-200\"", "# why\nmodel = 'px-200'\nvendor = \"acme\"");
    assert_eq!(bench.json(&["config", "digest"])["given"], digest);
    bench.reconfigure("mode = \"enforce\"", "mode = \"observe\"");
    assert_ne!(bench.json(&["config", "digest"])["given"], digest);
    assert_eq!(before["approved"], serde_json::Value::Null);
    assert!(bench.headgate(&["status"]).contains("config  not approved"), "and it is said");
}

#[test]
fn an_edited_configuration_does_not_run_and_is_named_until_it_is_put_back() {
    let (mut bench, plc) = bench();
    bench.start();
    assert!(approve(&bench, "one.json", &["ann"]).contains("it runs"), "the first weakens nothing");
    assert!(bench.headgate(&["status"]).contains("config  approved: sha256:"));

    bench.reconfigure("mode = \"enforce\"", "mode = \"observe\"");
    bench.reconfigure("\"0-99\"", "\"0-999\"");
    restart(&mut bench);
    let alarm = bench.wait_alarm("HG-7014");
    let text = alarm["text"].as_str().expect("a text");
    assert!(text.contains("plc.pump-3.mode: \"enforce\" -> \"observe\""), "{text}");
    assert!(text.contains("0-999") && alarm["latched"] == true, "{alarm}");
    reads_pass(&plc);
    assert_eq!((wide_write(&plc), begin(&plc)), (0x86, 0x90), "the approved one enforces");
    bench.wait_status("the gate is open", |s| s["gate"]["open"] == true);
    assert!(bench.headgate(&["audit", "list"]).contains("the files differ from what was approved"));
    bench.kill();
    bench.headgate(&["trust", "show"]); // a command on its own runs on the approved one, too

    bench.reconfigure("mode = \"observe\"", "mode = \"enforce\"");
    bench.reconfigure("\"0-999\"", "\"0-99\"");
    bench.start();
    let alarm = bench.wait_alarm("HG-7014");
    assert!(alarm["standing"] == false && alarm["active"] == true, "over, and latched: {alarm}");
    bench.headgate(&["alarms", "ack", "bench", "HG-7014"]);
    bench.wait_status("nobody is told any more", |s| headgate_tests::alarm(s, "HG-7014").is_none());
}

#[test]
fn a_mistake_in_the_files_leaves_the_approved_configuration_running() {
    let (mut bench, plc) = bench();
    approve(&bench, "one.json", &["ann"]);
    bench.reconfigure("unit = 1\n", "unit = 1\nunti = 1\n");
    bench.start_anyhow();
    reads_pass(&plc);
    let alarm = bench.wait_alarm("HG-7014");
    assert!(alarm["text"].as_str().is_some_and(|t| t.contains("unknown field `unti`")), "{alarm}");
}

#[test]
fn an_edited_profile_does_not_run() {
    let (mut bench, plc) = bench();
    let shipped = include_str!("../../deploy/profiles/generic-file-record.toml");
    std::fs::create_dir(bench.path("profiles")).expect("a new folder");
    bench.write("profiles/generic-file-record.toml", shipped.as_bytes());
    bench.reconfigure("socket = ", "profiles = [\"profiles\"]\nsocket = ");
    approve(&bench, "one.json", &["ann"]);
    bench.start();
    bench.kill();
    // Steps elsewhere: what was an update's register would be process traffic.
    let edited = shipped.replace("register = 0xF000", "register = 0xE000");
    bench.write("profiles/generic-file-record.toml", edited.as_bytes());
    bench.start();
    let alarm = bench.wait_alarm("HG-7014");
    assert!(alarm["text"].as_str().is_some_and(|t| t.contains("profile.generic-file-record")), "{alarm}");
    reads_pass(&plc);
    assert_eq!(begin(&plc), 0x90, "the approved profile knows a step when it sees one");
}

#[test]
fn a_weakening_needs_two_distinct_approvers_and_each_is_listed() {
    let (mut bench, plc) = bench();
    approve(&bench, "one.json", &["ann"]);
    bench.start();
    bench.reconfigure("functions = [6, 16]", "functions = [6, 16, 22]");
    bench.reconfigure("poll_s = 1", "poll_s = 100");
    let said = draft(&bench, "two.json", &["ann"]);
    assert!(said.contains("two distinct approvers"), "{said}");
    let (code, error) = bench.refused(&["config", "approve", "two.json"]);
    assert!(code != 0 && error.contains("HG-1082"), "{code} {error}");
    assert!(
        error.contains("plc.pump-3.allow: a wider list") && error.contains("plc.pump-3.route.poll_s"),
        "{error}"
    );
    let (code, error) = bench.refused(&["sign-document", "two.json", "--key", "ann.pem"]);
    assert!(code == 2 && error.contains("has signed it already"), "one key counts once: {error}");

    forge(&bench, "two.json", "\"weakens\":true", "\"weakens\":false", "hidden.json");
    bench.headgate(&["sign-document", "hidden.json", "--key", "ann.pem"]);
    let (code, error) = bench.refused(&["config", "approve", "hidden.json"]);
    assert!(code == 60 && error.contains("HG-7016") && error.contains("a wider list"), "{code} {error}");
    assert!(bench.headgate(&["audit", "list"]).contains("HG-7016"), "a refused one is in the log");

    bench.headgate(&["sign-document", "two.json", "--key", "ben.pem"]);
    let said = bench.headgate(&["config", "approve", "two.json"]);
    assert!(said.contains("from the next start on"), "{said}");
    let log = bench.headgate(&["audit", "list"]);
    assert!(["ann, ben", "ben, ann"].iter().any(|who| log.contains(&format!("approved by {who}"))), "{log}");
    assert_eq!(begin(&plc), 0x90);
    bench.wait_status("the gate stays open", |s| s["gate"]["open"] == true);
    bench.kill();
    bench.start();
    assert!(bench.headgate(&["status"]).contains("config  approved: sha256:"));
}

#[test]
fn an_approval_counts_once_for_one_gateway_and_for_the_files_it_was_drafted_for() {
    let (mut bench, _plc) = bench();
    approve(&bench, "one.json", &["ann"]);
    let first = bench.json(&["config", "digest"])["given"].clone();
    bench.reconfigure("poll_s = 1", "poll_s = 1\nreply_ms = 900");
    approve(&bench, "two.json", &["ben"]);
    bench.reconfigure("\nreply_ms = 900", "");
    assert_eq!(bench.json(&["config", "digest"])["given"], first);
    let (_, error) = bench.refused(&["config", "approve", "one.json"]);
    assert!(error.contains("may be used 1 time(s), and was"), "an older approval, replayed: {error}");
    draft(&bench, "three.json", &[]);
    let (_, error) = bench.refused(&["config", "approve", "three.json"]);
    assert!(error.contains("HG-1091"), "nobody signed: {error}");

    bench.headgate(&["sign-document", "three.json", "--key", "ann.pem"]);
    bench.reconfigure("poll_s = 1", "poll_s = 1\nreply_ms = 800");
    let (_, error) = bench.refused(&["config", "approve", "three.json"]);
    assert!(
        error.contains("HG-7014") && error.contains(first.as_str().expect("text")),
        "other files: {error}"
    );
    draft(&bench, "four.json", &[]);
    forge(&bench, "four.json", "\"gateway\":\"bench\"", "\"gateway\":\"other\"", "five.json");
    bench.headgate(&["sign-document", "five.json", "--key", "ann.pem"]);
    let (_, error) = bench.refused(&["config", "approve", "five.json"]);
    assert!(error.contains("\"other\"") && error.contains("\"bench\""), "another gateway: {error}");
}

#[test]
fn a_lost_or_planted_approved_configuration_shuts_the_gate_and_two_approvers_open_it() {
    let (mut bench, plc) = bench();
    approve(&bench, "one.json", &["ann"]);
    let approved = std::fs::read(bench.path("data/config.approved")).expect("it is kept");

    // Gone, while the files still say it: it is kept again.
    std::fs::remove_file(bench.path("data/config.approved")).expect("it is there");
    bench.start();
    bench.kill();
    assert_eq!(std::fs::read(bench.path("data/config.approved")).expect("it is kept"), approved);

    // The attacker has the disk: files that observe, and a kept one that says the same.
    bench.reconfigure("mode = \"enforce\"", "mode = \"observe\"");
    bench.headgate(&["config", "digest", "-o", "evil.json"]);
    let evil = std::fs::read(bench.path("evil.json")).expect("just written");
    for (what, bytes, part) in [
        ("planted", Some(evil), "nobody approved"),
        ("damaged", Some(approved[..approved.len() / 2].to_vec()), "damaged"),
        ("deleted", None, "deleted"),
    ] {
        match bytes {
            Some(bytes) => bench.write("data/config.approved", &bytes),
            None => std::fs::remove_file(bench.path("data/config.approved")).expect("it is there"),
        }
        bench.start_anyhow();
        let text = gate_shut(&bench, "HG-7015");
        assert!(text.contains(part), "{what}: {text}");
        reads_pass(&plc);
        assert_eq!(begin(&plc), 0x90, "{what}: even observe lets no firmware pass");
        assert_eq!(wide_write(&plc), 6, "{what}: process traffic passes by what is readable");
        bench.kill();
    }
    bench.start_anyhow();
    gate_shut(&bench, "HG-7015");
    let said = draft(&bench, "anew.json", &["ann"]);
    assert!(said.contains("nobody can tell what is weaker"), "{said}");
    let (_, error) = bench.refused(&["config", "approve", "anew.json"]);
    assert!(error.contains("HG-1082"), "one is too few for what nobody can compare: {error}");
    bench.headgate(&["sign-document", "anew.json", "--key", "ben.pem"]);
    let said = bench.headgate(&["config", "approve", "anew.json"]);
    assert!(said.ends_with("it runs\n"), "{said}");
    bench.wait_status("the gate opens", |s| s["gate"]["open"] == true);
}

#[test]
fn an_old_approved_configuration_and_an_old_disk_do_not_come_back() {
    let (mut bench, _plc) = bench();
    approve(&bench, "one.json", &["ann"]);
    let copy = |from: &str, to: &str| {
        let _ = std::fs::remove_dir_all(bench.path(to));
        let said = headgate_tests::peers::run(bench.dir.path(), "cp", &["-a", from, to]);
        assert_eq!(said.code, 0, "{}", said.text);
    };
    copy("data", "old");
    std::fs::copy(bench.path("headgate.toml"), bench.path("old.toml")).expect("writable");
    let narrow = std::fs::read_to_string(bench.path("headgate.toml")).expect("text");
    bench.write("headgate.toml", narrow.replace("\"0-99\"", "\"0-9\"").as_bytes());
    approve(&bench, "two.json", &["ann"]);
    copy("data", "new");

    std::fs::copy(bench.path("old.toml"), bench.path("headgate.toml")).expect("writable");
    std::fs::copy(bench.path("old/config.approved"), bench.path("data/config.approved")).expect("writable");
    bench.start_anyhow();
    let text = gate_shut(&bench, "HG-7015");
    assert!(text.contains("an older one"), "the file alone: {text}");
    bench.kill();

    let _ = std::fs::remove_dir_all(bench.path("data"));
    std::fs::rename(bench.path("old"), bench.path("data")).expect("it is there");
    for _ in 0..2 {
        bench.tpm.restart().expect("it starts");
        bench.boot();
    }
    bench.start_anyhow();
    assert!(gate_shut(&bench, "HG-7011").contains("old copy"), "the whole disk");
}

#[test]
fn a_power_cut_between_the_steps_of_an_approval_leaves_one_of_the_two_running() {
    let (mut bench, plc) = bench();
    approve(&bench, "one.json", &["ann"]);
    let kept = |bench: &Bench, name: &str| std::fs::read(bench.path(&format!("data/{name}"))).ok();
    let old = kept(&bench, "config.approved").expect("it is kept");

    // Cut before the trust store was written: the new one lies there, and nobody knows it.
    bench.reconfigure("\"0-99\"", "\"0-199\"");
    bench.headgate(&["config", "digest", "-o", "new.json"]);
    let new = std::fs::read(bench.path("new.json")).expect("just written");
    bench.write("data/config.next", &new);
    bench.start();
    assert_eq!((kept(&bench, "config.next"), kept(&bench, "config.approved")), (None, Some(old.clone())));
    bench.wait_alarm("HG-7014");
    assert_eq!(wide_write(&plc), 0x86, "the old one runs");
    draft(&bench, "two.json", &["ann", "ben"]);
    bench.headgate(&["config", "approve", "two.json"]);
    bench.kill();

    // Cut after it, before the rename: the trust store names the new one.
    bench.write("data/config.approved", &old);
    bench.write("data/config.next", &new);
    bench.start();
    assert_eq!((kept(&bench, "config.next"), kept(&bench, "config.approved")), (None, Some(new)));
    eventually("the new one runs", || (wide_write(&plc) == 6).then_some(()));
}
