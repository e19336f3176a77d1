//! The command line from outside: exit codes, what is said, and what is left on the disk.

#![allow(clippy::panic)] // a test that fails says why

use std::process::{Command, Output, Stdio};

use headgate_tests::{Bench, free_address, headgate, image};

/// Runs the command without a configuration.
fn bare(args: &[&str]) -> Output {
    Command::new(headgate()).args(args).stdin(Stdio::null()).output().expect("headgate runs")
}

fn json(output: &Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("JSON alone on standard output: {e}: {text}"))
}

/// A provisioned gateway that does not run, with one controller nobody answers for and acme's key.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.plc("pump-3", "match", "generic-file-record", free_address(), free_address());
    bench.trust_acme();
    bench
}

#[test]
fn a_mistake_in_the_command_line_is_json_where_json_was_asked_for() {
    let cases: &[(&str, &[&str], &str)] = &[
        ("no verb", &["--json"], "Usage"),
        ("a verb nobody knows", &["--json", "relase"], "relase"),
        ("an option nobody knows", &["status", "--json", "--bogus"], "--bogus"),
        ("an argument left out", &["release", "--json", "0123456789"], "--plc"),
        (
            "a window backwards written",
            &["--json", "release", "01234567", "--plc", "p", "--window", "x"],
            "FROM..TO",
        ),
    ];
    for (what, args, expected) in cases {
        let output = bare(args);
        assert_eq!(output.status.code(), Some(2), "{what}");
        let said = json(&output);
        assert_eq!((&said["schema"], &said["exit"]), (&1.into(), &2.into()), "{what}: {said}");
        assert!(said["error"].as_str().is_some_and(|e| e.contains(expected)), "{what}: {said}");
        assert!(output.stderr.is_empty(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let words = bare(&["relase"]);
    assert_eq!(words.status.code(), Some(2));
    assert!(words.stdout.is_empty() && String::from_utf8_lossy(&words.stderr).contains("relase"));
    assert_eq!(bare(&["--help"]).status.code(), Some(0), "help is no mistake");
    let after = bare(&["config", "check", "--", "--json"]);
    assert!(after.stdout.is_empty(), "behind -- it is no option");
}

#[test]
fn looking_before_init_makes_no_data_folder() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let config = dir.path().join("headgate.toml");
    let text = format!(
        "schema = 1\n[gateway]\nname = \"fresh\"\ndata = \"data\"\nsocket = \"headgate.sock\"\n\
         [tpm]\ntcti = \"swtpm:host=127.0.0.1,port=1\"\npcrs = [0]\n\
         [[plc]]\nid = \"pump-3\"\nvendor = \"acme\"\nmodel = \"px-200\"\nmode = \"enforce\"\n\
         [[plc.route]]\nunit = 1\nprotocol = \"modbus-tcp\"\nlisten = \"{}\"\ntarget = \"{}\"\n",
        free_address(),
        free_address()
    );
    std::fs::write(&config, text).expect("writable");
    std::fs::write(dir.path().join("image.bin"), b"an image").expect("writable");
    let run = |args: &[&str]| {
        let mut command = Command::new(headgate());
        command.current_dir(dir.path()).args(["--config", "headgate.toml", "--json"]).args(args);
        command.stdin(Stdio::null()).output().expect("headgate runs")
    };
    let status = run(&["status"]);
    assert_eq!(status.status.code(), Some(0));
    let said = json(&status);
    assert_eq!((&said["gate"]["open"], &said["gate"]["code"]), (&false.into(), &"HG-7003".into()), "{said}");
    assert_eq!(said["plcs"][0]["id"], "pump-3");
    let others: &[&[&str]] = &[
        &["vault", "list"],
        &["plc", "list"],
        &["alarms", "list"],
        &["trust", "show"],
        &["stage", "image.bin", "--plc", "pump-3"],
        &["init", "--request-only"],
    ];
    for args in others {
        let output = run(args);
        assert_eq!(output.status.code(), Some(71), "{args:?}: {output:?}");
        assert_eq!(json(&output)["code"], "HG-7003", "{args:?}");
    }
    let mut left: Vec<_> = std::fs::read_dir(dir.path())
        .expect("a folder")
        .map(|e| e.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    left.sort();
    assert_eq!(left, ["headgate.toml", "image.bin"], "nothing was made");
}

#[test]
fn an_image_over_the_limit_is_told_its_size_and_the_limit() {
    let mut bench = bench();
    let large = std::fs::File::create(bench.path("large.bin")).expect("writable");
    large.set_len((64 << 20) + 5).expect("a sparse file");
    bench.write("large.bin.sig", &[7; 64]);
    let tries: &[&[&str]] = &[
        &["stage", "large.bin", "--plc", "pump-3"],
        &["verify", "large.bin", "--plc", "pump-3"],
        &["verify", "large.bin", "--anchor", "acme.pub"],
    ];
    for running in [false, true] {
        for args in tries {
            let (code, text) = bench.refused(args);
            assert_eq!(code, 11, "{args:?}, running {running}: {text}");
            for part in ["HG-1041", "67108869", "67108864"] {
                assert!(text.contains(part), "{args:?}, running {running}: {part} is missing: {text}");
            }
        }
        if !running {
            bench.start();
        }
    }
}

#[test]
fn the_vault_takes_the_first_digits_of_a_digest() {
    let bench = bench();
    let first = bench.stage("1.bin", &image()[..1000], "pump-3");
    let second = bench.release("2.bin", &image()[1000..2000], "pump-3");
    for (what, digits, code, says) in [
        ("seven digits", &first[..7], 2, "8 or more"),
        ("no digits at all", "zzzzzzzz", 2, "8 or more"),
        ("too many", &format!("{first}0"), 2, "64"),
        ("another image's", "00000000", 3, "vault list"),
    ] {
        for args in
            [vec!["vault", "rm", digits], vec!["vault", "show", digits], vec!["vault", "export", digits, "x"]]
        {
            let (found, text) = bench.refused(&args);
            assert_eq!(found, code, "{what}: {args:?}: {text}");
            assert!(text.contains(says), "{what}: {args:?}: {text}");
        }
    }
    assert_eq!(bench.json(&["vault", "show", &first[..8]])["releases"].as_array().map(Vec::len), Some(0));
    assert_eq!(bench.json(&["vault", "show", &second[..8]])["releases"][0]["digest"], *second);
    assert_eq!(bench.json(&["vault", "show"])["releases"].as_array().map(Vec::len), Some(1));
    bench.headgate(&["vault", "export", &first[..12].to_uppercase(), "out.bin"]);
    assert_eq!(std::fs::read(bench.path("out.bin")).expect("it is there"), &image()[..1000]);
    let (code, text) = bench.refused(&["vault", "rm", &second[..8]]);
    assert!(code == 2 && text.contains("withdraw it first"), "{code} {text}");
    bench.headgate(&["vault", "rm", &format!("sha256:{}", &first[..8])]);
    let left = bench.json(&["vault", "list"]);
    assert_eq!(left["images"].as_array().map(Vec::len), Some(1), "{left}");
}

#[test]
fn an_export_that_fails_leaves_nothing_and_touches_nothing() {
    let bench = bench();
    let digest = bench.stage("1.bin", &image()[..9000], "pump-3");
    bench.write("mine.txt", b"mine");
    let (code, text) = bench.refused(&["vault", "export", &digest, "mine.txt"]);
    assert!(code == 2 && text.contains("mine.txt"), "{code} {text}");
    assert_eq!(std::fs::read(bench.path("mine.txt")).expect("it is there"), b"mine");
    let stored = bench.path(&format!("data/vault/{digest}.img"));
    let mut bytes = std::fs::read(&stored).expect("the vault's file");
    bytes[5000] ^= 1;
    std::fs::write(&stored, &bytes).expect("writable");
    let (code, text) = bench.refused(&["vault", "export", &digest, "out.bin"]);
    assert!(code == 71 && text.contains("HG-7006"), "{code} {text}");
    assert!(!bench.path("out.bin").exists(), "an empty file would look like an image");
}

#[test]
fn a_release_says_what_it_replaces_and_is_refused_where_it_could_never_be_used() {
    let mut bench = bench();
    let (listen, target) = (free_address(), free_address());
    bench.configure(&format!(
        "[[plc]]\nid = \"meter-1\"\nvendor = \"acme\"\nmodel = \"px-200\"\nmode = \"enforce\"\n[[plc.route]]\n\
         unit = 1\nprotocol = \"modbus-tcp\"\nlisten = \"{listen}\"\ntarget = \"{target}\"\naccess = \"read-only\"\n"
    ));
    let digest = bench.stage("1.bin", &image()[..1000], "pump-3");
    let release = |more: &[&str]| bench.headgate(&[&["release", &digest, "--plc", "pump-3"], more].concat());
    let until = ["--expires", "2100-01-01T00:00Z"];
    assert!(!release(&until).contains("replaces"), "the first one replaces nothing");
    let same = release(&until);
    assert!(same.contains("this replaces the release of") && same.contains("nothing changed"), "{same}");
    let other =
        release(&[&until[..], &["--uses", "3", "--station", "192.0.2.9", "--ticket", "CHG-7"]].concat());
    for change in ["uses left 1 -> 3", "stations any -> 192.0.2.9", "ticket none -> CHG-7"] {
        assert!(other.contains(change), "{change}: {other}");
    }
    assert!(!other.contains("; until"), "what is the same is not said: {other}");
    assert_eq!(bench.json(&["vault", "show"])["releases"].as_array().map(Vec::len), Some(1));
    let (code, text) = bench.refused(&["release", &digest, "--plc", "meter-1"]);
    assert!(
        code == 2 && text.contains("meter-1 takes no updates") && text.contains("way and profile"),
        "{text}"
    );
    let (code, text) = bench.refused(&["deliver", &digest, "--plc", "meter-1"]);
    assert!(code == 2 && text.contains("meter-1 takes no updates"), "{text}");
}

#[test]
fn init_names_the_private_half_of_a_site_key_and_refuses_it() {
    let bench = Bench::new();
    for again in [&[][..], &["--again"]] {
        let (code, text) =
            bench.refused(&[&["init", "--site-key", "site.key", "--request", "r"], again].concat());
        assert_eq!(code, 2, "{text}");
        assert!(text.contains("site.key is the private half of a site key"), "{text}");
        assert!(!text.contains("PRIVATE KEY"), "and repeats none of it: {text}");
        assert!(!bench.path("r").exists());
    }
}
