//! What delivery sends, by what comes back: one row per rule.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::transfer::engine::tests::released;

const IMAGE: &[u8] = b"\x04\0\0\0............................abcd";

/// Plays answers to a delivery and writes down what it sends. `ok` accepts, `-` is silence, `!nn` an
/// exception, `=nn` a status, `wait` lets time pass, `rec` says that the record is written.
fn play(profile: &str, past: bool, answers: &str) -> String {
    let path = format!("{}/../deploy/profiles/{profile}.toml", env!("CARGO_MANIFEST_DIR"));
    let profile = Arc::new(Profile::parse(&std::fs::read_to_string(path).unwrap()).unwrap());
    let mut delivery = Delivery::new(profile, released(IMAGE), past);
    let (mut now, mut said) = (Mono(1), Vec::new());
    let mut answers = answers.split_whitespace();
    loop {
        match delivery.next(now) {
            Next::Wait(until) => now = until,
            Next::PastNoReturn => {
                said.push("record".to_string());
                delivery.go_on();
            }
            Next::Finished => return said.join(" ") + " finished",
            Next::Failed(why) => return said.join(" ") + " failed: " + &why,
            Next::Send(pdu) => {
                said.push(name(&pdu));
                match answers.next() {
                    None => return said.join(" "),
                    Some("ok") => delivery.reply(&pdu, now),
                    Some("-") => delivery.silence(now + Duration::from_secs(1)),
                    Some(word) => {
                        let code = u8::from_str_radix(&word[1..], 16).unwrap();
                        match &word[..1] {
                            "!" => delivery.reply(&[pdu[0] | 0x80, code], now),
                            _ => delivery.reply(&[pdu[0], 2, 0, code], now),
                        }
                    }
                }
            }
        }
    }
}

/// A request in short: function and address, and a word for what it carries.
fn name(pdu: &[u8]) -> String {
    match *pdu {
        [6, a, b, v, w] => format!("{a:02x}{b:02x}={v:02x}{w:02x}"),
        [16, a, b, _, _, len, ..] => format!("{a:02x}{b:02x}[{len}]"),
        [21, ..] => "file".into(),
        [3 | 4, ..] => "status".into(),
        _ => "identity".into(),
    }
}

#[test]
fn each_answer_leads_to_the_next_request() {
    let cases: &[(&str, &str, bool, &str, &str)] = &[
        // Before the point of no return nothing is tried for ever.
        (
            "a begin that is refused",
            "generic-linear",
            false,
            "!04 !04 !04",
            "f200[6] f200[6] f200[6] failed: exception 04",
        ),
        (
            "a begin without an answer",
            "generic-linear",
            false,
            "- - -",
            "f200[6] f200[6] f200[6] failed: no answer",
        ),
        (
            "a block without an answer",
            "generic-linear",
            false,
            "ok - - -",
            "f200[6] 4000[36] 4000[36] 4000[36] failed: no answer",
        ),
        (
            "a block whose offset may have moved",
            "generic-offset-window",
            false,
            "ok ok - ok - ok -",
            "f100[6] f108[4] f110[36] f108[4] f110[36] f108[4] f110[36] failed: no answer",
        ),
        // The record comes before the step that destroys.
        (
            "two banks: before the commit",
            "generic-file-record",
            false,
            "ok ok ok =03 =04 =00",
            "f000[6] file record f000=0002 status status status finished",
        ),
        (
            "one bank: before the first step",
            "wirenboard",
            false,
            "- ok ok ok",
            "record 0081=0001 1000[32] 2000[136] identity finished",
        ),
        ("one bank, on record already", "wirenboard", true, "-", "0081=0001 1000[32]"),
        // Past it, it goes on.
        (
            "a register only the application knows",
            "wirenboard",
            true,
            "!02 ok",
            "0081=0001 1000[32] 2000[136]",
        ),
        (
            "a block of a fixed window is not sent twice",
            "wirenboard",
            true,
            "- ok - -",
            "0081=0001 1000[32] 2000[136] 0081=0001 1000[32]",
        ),
        (
            "a busy controller is asked again",
            "wirenboard",
            true,
            "- !06 ok",
            "0081=0001 1000[32] 1000[32] 2000[136]",
        ),
        (
            "a program step without an answer begins its block again",
            "ucw-bootloader",
            true,
            "- ok ok ok - ok",
            "e000=0005 e000=0002 e001=0000 e100[128] e000=0004 e001=0000 e100[128]",
        ),
        (
            "a failed check starts over",
            "ocp-rackmon-delta",
            true,
            "ok - ok =06 ok =55 ok",
            "0300=55aa 0301=a5a5 0310[64] status 0303=55aa status 0300=55aa 0301=a5a5",
        ),
        (
            "an exception 05 to a status is no success",
            "ocp-rackmon-delta",
            true,
            "ok - ok =06 ok !05 =aa -",
            "0300=55aa 0301=a5a5 0310[64] status 0303=55aa status status 0304=55aa status",
        ),
    ];
    for (what, profile, past, answers, expected) in cases {
        assert_eq!(play(profile, *past, answers), *expected, "{what}");
    }
}

#[test]
fn a_controller_that_refuses_every_round_is_left_to_a_person() {
    let said = play("ocp-rackmon-delta", true, &"!04 ".repeat(40));
    assert!(said.ends_with("failed: exception 04"), "{said}");
}
