use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::verdict::{Evidence, Outcome, Stage};

fn module(text: &str) -> Module {
    Module { name: "site.rego".into(), text: text.into() }
}

/// A policy of package headgate with these rules.
fn policy(rules: &str) -> Result<Policy, PolicyError> {
    Policy::compile(&[module(&format!("package headgate\n{rules}"))])
}

fn input() -> Input {
    let evidence = |stage, outcome| Evidence {
        stage,
        outcome,
        code: None,
        found: "as it should be".into(),
        expected: String::new(),
        input_digest: None,
        input_age_s: None,
    };
    Input {
        schema: 1,
        now_ms: Some(1_800_000_000_000),
        gateway: "cell-4".into(),
        controller: Controller {
            id: "pump-3".into(),
            zone: Some("wet-well".into()),
            vendor: "acme".into(),
            model: "px-200".into(),
            firmware: None,
        },
        image: Image {
            sha256: Some("ab".repeat(32)),
            size: 9001,
            version: Some("2.14.0".into()),
            security_version: Some(3),
            basis: Some("vendor-signed".into()),
            signers: vec![Signer { id: "0011".into(), name: "acme release".into() }],
        },
        stages: vec![evidence(Stage::Intake, Outcome::Passed), evidence(Stage::Identity, Outcome::NotDone)],
        sbom: None,
        vulnerabilities: None,
    }
}

fn ruling(rules: &str) -> Result<Ruling, PolicyError> {
    policy(rules)?.decide(&input())
}

const OPEN: &str = "deny contains m if { m := input.nothing }";

#[test]
fn only_a_plain_yes_with_nothing_against_it_lets_an_image_pass() {
    let denied = |text: &str| Ok(Ruling::Denied(vec![text.to_owned()]));
    for (what, rules, expected) in [
        ("no rule says yes", format!("default allow := false\n{OPEN}"), Ok(Ruling::NoMatch)),
        (
            "the rule that would is undefined",
            format!("allow if input.image.nothing\n{OPEN}"),
            Ok(Ruling::NoMatch),
        ),
        ("a yes", format!("allow := true\n{OPEN}"), Ok(Ruling::Allowed)),
        ("a reason against a yes", "allow := true\ndeny contains \"no\"".into(), denied("no")),
        (
            "a reason with a code",
            "allow := true\ndeny contains {\"code\": \"S1\", \"msg\": \"no\"}".into(),
            denied("S1: no"),
        ),
        ("a reason of another form", "allow := true\ndeny contains 7".into(), denied("7")),
        ("a reason on two lines", "allow := true\ndeny contains \"a\\nb\"".into(), denied("a b")),
        ("a set without a condition", "allow := true\ndeny := set()".into(), Ok(Ruling::Allowed)),
        (
            "yes in words",
            format!("allow := \"true\"\n{OPEN}"),
            Err(PolicyError::NotABool { found: "a text" }),
        ),
        ("yes as a number", format!("allow := 1\n{OPEN}"), Err(PolicyError::NotABool { found: "a number" })),
        (
            "a list for a set",
            "allow := true\ndeny := []".into(),
            Err(PolicyError::NotASet { found: "an array" }),
        ),
        (
            "a no that is a boolean",
            "allow := true\ndeny := false".into(),
            Err(PolicyError::NotASet { found: "a boolean" }),
        ),
        (
            "reasons that are undefined",
            "allow := true\ndeny := input.nothing".into(),
            Err(PolicyError::NotASet { found: "undefined" }),
        ),
    ] {
        assert_eq!(ruling(&rules), expected, "{what}");
    }
}

#[test]
fn what_goes_wrong_inside_a_policy_opens_nothing() {
    for (what, rules) in [
        ("a division by zero", format!("allow if input.image.size / 0 > 1\n{OPEN}")),
        (
            "two answers to one question",
            format!("allow := true\nallow := false if input.image.size > 0\n{OPEN}"),
        ),
        ("an error among the reasons", "allow := true\ndeny contains m if { m := to_number(\"x\") }".into()),
        ("a division among the reasons", "allow := true\ndeny := {1 / 0}".into()),
    ] {
        let found = ruling(&rules);
        assert!(!matches!(found, Ok(Ruling::Allowed)), "{what}: {found:?}");
    }
}

#[test]
fn no_policy_reads_a_clock_the_network_or_dice() {
    for (what, rules, expected) in [
        ("dice", "allow if rand.intn(\"a\", 2) == 1", "rand is not to be had"),
        ("the clock", "allow if time.now_ns() > 0", "time is not to be had"),
        (
            "the network",
            "allow if http.send({\"method\": \"get\"}).status_code == 200",
            "http is not to be had",
        ),
        ("names", "allow if net.lookup_ip_addr(\"x\")", "net is not to be had"),
        ("the environment", "allow if opa.runtime().env", "opa is not to be had"),
        ("an endless list", "allow if count(numbers.range(1, 1000000000)) > 1", "numbers is not to be had"),
        ("a function that there is not", "allow if guess(1)", "guess"),
        ("dice behind a blank", "allow if rand . intn(\"a\", 2) == 1", "rand is not to be had"),
    ] {
        let error = policy(&format!("{rules}\n{OPEN}")).unwrap_err().to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
    // The words themselves are none of the policy's business elsewhere.
    let named = "# rand.intn\nallow if input.controller.zone != \"time.now\"\n";
    assert_eq!(ruling(&format!("{named}{OPEN}")), Ok(Ruling::Allowed));
}

#[test]
fn what_would_keep_the_parser_busy_is_refused_before_it_parses() {
    let began = Instant::now();
    for (open, close) in
        [("[", "]"), ("{", "}"), ("(", ")"), ("[ # ]\n", "]"), ("[`]`, ", "]"), ("[\"]\", ", "]")]
    {
        for depth in [MAX_DEPTH + 1, 30, 20_000] {
            let text = format!("x := {}1{}\nallow := true\n{OPEN}", open.repeat(depth), close.repeat(depth));
            let error = policy(&text).unwrap_err();
            let early = matches!(error, PolicyError::TooDeep { .. } | PolicyError::TooLarge { .. });
            // The lexer has a limit of its own for what stands on one line.
            let long_line = depth == 20_000 && matches!(error, PolicyError::Compile(_));
            assert!(early || long_line, "{open} {depth}");
        }
        let depth = MAX_DEPTH - 1;
        let text = format!("x := {}1{}\nallow := true\n{OPEN}", open.repeat(depth), close.repeat(depth));
        let _ = policy(&text); // no such thing, some of them; but quickly
    }
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    let large = module(&format!("package headgate\n#{}", "x".repeat(MAX_POLICY)));
    assert!(matches!(Policy::compile(&[large]), Err(PolicyError::TooLarge { .. })));
    assert!(matches!(Policy::compile(&[]), Err(PolicyError::Modules { found: 0 })));
    let many = vec![module("package a"); MAX_MODULES + 1];
    assert!(matches!(Policy::compile(&many), Err(PolicyError::Modules { found: 17 })));
}

#[test]
fn a_policy_without_its_two_rules_is_none() {
    assert!(matches!(policy("allow := true"), Err(PolicyError::NoRule { rule: DENY })));
    assert!(matches!(policy(OPEN), Err(PolicyError::NoRule { rule: ALLOW })));
    let elsewhere = [module(&format!("package other\nallow := true\n{OPEN}"))];
    assert!(matches!(Policy::compile(&elsewhere), Err(PolicyError::NoRule { .. })));
    let error = policy("allow := ").unwrap_err().to_string();
    assert!(error.contains("site.rego"), "the place is said: {error}");
}

#[test]
fn a_policy_that_does_not_end_has_not_decided() {
    let parts = |n: usize| {
        let part = input::Part {
            name: "zlib".into(),
            version: None,
            supplier: None,
            purl: None,
            cpe: None,
            sha256: None,
        };
        input::Sbom { format: "CycloneDX 1.6".into(), made_ms: None, components: vec![part; n] }
    };
    let rules = "allow := true\ndeny contains m if {\n\tsome a in input.sbom.components\n\tsome b in \
                 input.sbom.components\n\tsome c in input.sbom.components\n\ta.name != b.name\n\tm := c.name\n}";
    let long = Input { sbom: Some(parts(3000)), ..input() };
    let found = policy(rules).unwrap().decide(&long);
    assert!(matches!(found, Err(PolicyError::Undecided(_))), "{found:?}");
    let short = Input { sbom: Some(parts(3)), ..input() };
    assert_eq!(policy(rules).unwrap().decide(&short), Ok(Ruling::Allowed));
}

#[test]
fn the_shipped_policy_passes_what_the_other_stages_passed_and_nothing_else() {
    let shipped = Policy::shipped().unwrap();
    assert_eq!(shipped.decide(&input()), Ok(Ruling::Allowed));
    let mut unsigned = input();
    unsigned.image.basis = None;
    assert_eq!(shipped.decide(&unsigned), Ok(Ruling::NoMatch));
    let mut failed = input();
    failed.stages[0].outcome = Outcome::Failed;
    assert!(
        matches!(shipped.decide(&failed), Ok(Ruling::Denied(reasons)) if reasons[0].starts_with("stage intake"))
    );
}

#[test]
fn tests_of_a_policy_are_found_by_their_names_and_run() {
    let rules = format!(
        "package headgate\nallow if input.image.size < 10\n{OPEN}\n\
         test_small if allow with input as {{\"image\": {{\"size\": 9}}}}\n\
         test_large if not allow with input as {{\"image\": {{\"size\": 11}}}}\n\
         test_wrong if allow with input as {{\"image\": {{\"size\": 11}}}}\n\
         x := {{\n\"a\":\ntest_small}}"
    );
    let other = Module { name: "other.rego".into(), text: "package other.more\ntest_false := false".into() };
    let tested = test(&[module(&rules), other]).unwrap();
    let told: Vec<_> = tested.iter().map(|t| (t.rule.as_str(), t.fault.as_deref())).collect();
    assert_eq!(
        told,
        [
            ("data.headgate.test_large", None),
            ("data.headgate.test_small", None),
            ("data.headgate.test_wrong", Some("it is undefined")),
            ("data.other.more.test_false", Some("it is false")),
        ]
    );
}

#[test]
fn the_digest_is_of_names_and_texts_apart() {
    let of = |parts: [(&str, &str); 2]| {
        let module = |(name, text): (&str, &str)| Module { name: name.into(), text: text.into() };
        digest(&parts.map(module))
    };
    let digests = [of([("a", "b"), ("c", "d")]), of([("ab", ""), ("c", "d")]), of([("a", "bc"), ("", "d")])];
    assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[0] != digests[2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_is_a_policy_or_refused_in_time(text in "[a-z\\[\\]{}(),:=\"`.# \n|]{0,400}") {
        let began = Instant::now();
        let _ = Policy::compile(&[module(&text)]);
        let _ = test(&[module(&text)]);
        prop_assert!(began.elapsed().as_secs() < 10);
    }
}
