#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn at(day: i64) -> Wall {
    Wall::trusted(day * 86_400_000)
}

fn key() -> PublicKey {
    // Any point of the curve: nothing here is signed with it.
    const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n\
        6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n\
        -----END PUBLIC KEY-----\n";
    crate::receipt::envelope::key_from_pem(PEM).unwrap()
}

fn transfer(case: &str, day: i64, state: &str) -> Transfer {
    Transfer {
        case: case.into(),
        controller: "pump-3".into(),
        station: "192.0.2.7".into(),
        opened: at(day),
        ended: (state == "done").then(|| at(day)),
        state: state.into(),
        why: None,
        took_effect: state == "done",
        receipt: None,
        unsigned: "no receipt was made for this case".into(),
    }
}

fn evidence(transfers: Vec<Transfer>) -> Evidence {
    Evidence {
        gateway: "cell-4".into(),
        from: at(10),
        to: at(20),
        made: at(21),
        key: key(),
        predecessors: Vec::new(),
        keys: ["evidence".into(), "attestation".into()],
        transfers,
        outside: Vec::new(),
        controllers: Vec::new(),
        log: Log { entries: 3, root: "root".into(), checkpoint: None },
        forgotten: None,
    }
}

#[test]
fn a_change_without_a_receipt_or_with_one_that_is_none_is_not_shown() {
    let file = crate::receipt::tests::statement();
    let forged = String::from_utf8(file.to_json().unwrap()).unwrap();
    for receipt in [None, Some(String::new()), Some("{}".into()), Some(forged)] {
        let made = report(evidence(vec![Transfer { receipt, ..transfer("C-000001", 12, "done") }]));
        let change = &made.changes[0];
        assert!(!change.is_shown() && !change.source.shown && !change.integrity.shown, "{change:?}");
        assert!(!made.is_complete());
        assert!(html(&made).contains("Not every change in this period is shown"));
    }
}

#[test]
fn an_image_that_the_site_vouches_for_is_not_shown_as_signed_by_its_source() {
    let mut statement = crate::receipt::tests::statement();
    statement.predicate.verification_result = "PASSED".into();
    let record = &mut statement.predicate.headgate;
    let seen = record.stages[0].clone();
    record.stages = ["intake", "signature"].map(|name| Stage { stage: name.into(), ..seen.clone() }).to_vec();
    assert!(source(&statement).shown && integrity(&statement).shown);
    assert!(released_by(statement.record().release.as_ref().unwrap()).contains("approved by shift lead"));
    let record = &mut statement.predicate.headgate;
    record.vouched_by = record.signer.take().into_iter().collect();
    record.basis = Some("site-vouched".into());
    let (source, integrity) = (source(&statement), integrity(&statement));
    assert!(!source.shown && source.text.contains("site-vouched: by acme"), "{source:?}");
    assert!(!integrity.shown && integrity.text.contains("the site's word alone"), "{integrity:?}");
}

#[test]
fn a_period_holds_its_first_moment_and_not_its_last() {
    let transfers = [9, 10, 19, 20].map(|day| transfer(&format!("C-{day:06}"), day, "done")).to_vec();
    let refused = [9, 10, 19, 20].map(|day| transfer(&format!("C-{day:06}"), day, "refused")).to_vec();
    let made = report(evidence([transfers, refused].concat()));
    let names = |cases: Vec<&String>| cases.into_iter().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(names(made.changes.iter().map(|c| &c.case).collect()), "C-000010 C-000019");
    assert_eq!(names(made.others.iter().map(|c| &c.case).collect()), "C-000010 C-000019");
}

#[test]
fn nothing_changed_is_complete_and_a_change_outside_or_a_gap_in_the_record_is_not() {
    let complete = report(evidence(Vec::new()));
    assert!(complete.is_complete());
    assert!(html(&complete).contains("Every change in this period is shown"));
    let outside = Outside { at: at(12), controller: "pump-3".into(), text: "was 1, is 2".into(), entry: 7 };
    let made = report(Evidence { outside: vec![outside], ..evidence(Vec::new()) });
    assert!(!made.is_complete() && html(&made).contains("was 1, is 2"));
    let made = report(Evidence { forgotten: Some("gone".into()), ..evidence(Vec::new()) });
    assert!(!made.is_complete());
}

proptest! {
    /// Whoever stages an image chooses its name; the page of the auditor must not run it.
    #[test]
    fn no_text_leaves_its_place_in_the_page(words in "\\PC*|[<>&\"'\\x00-\\x20\u{202e}]*") {
        let one = Transfer { why: Some(words.clone()), station: words.clone(), ..transfer("C-000001", 12, "refused") };
        let outside = Outside { at: at(12), controller: words.clone(), text: words.clone(), entry: 7 };
        let asset = Asset { id: words.clone(), vendor: words.clone(), model: words, mode: "enforce".into(), runs: None };
        let empty = |w: &str| {
            let one = Transfer { why: Some(w.into()), station: w.into(), ..one.clone() };
            let outside = Outside { controller: w.into(), text: w.into(), ..outside.clone() };
            let asset = Asset { id: w.into(), vendor: w.into(), model: w.into(), ..asset.clone() };
            html(&report(Evidence {
                outside: vec![outside],
                controllers: vec![asset],
                ..evidence(vec![one])
            }))
        };
        let count = |page: &str, c: char| page.matches(c).count();
        let (page, plain) = (empty(&outside.text), empty("x"));
        for c in ['<', '>', '"', '\''] {
            prop_assert_eq!(count(&page, c), count(&plain, c));
        }
        let has_turns = page.contains('\u{202e}') || page.contains('\0');
        prop_assert!(!has_turns);
    }
}
