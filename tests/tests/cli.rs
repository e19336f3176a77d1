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

/// Runs the command in a folder, without a configuration unless the arguments name one.
fn in_folder(dir: &std::path::Path, args: &[&str]) -> Output {
    Command::new(headgate()).current_dir(dir).args(args).stdin(Stdio::null()).output().expect("headgate runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A configuration that is right; `more` comes at its end.
fn config(dir: &std::path::Path, more: &str) {
    let text = format!(
        "schema = 1\n[gateway]\nname = \"cell-4\"\ndata = \"data\"\nsocket = \"headgate.sock\"\n\
         [tpm]\ntcti = \"swtpm:host=127.0.0.1,port=1\"\npcrs = [0]\n\
         [[plc]]\nid = \"pump-3\"\nvendor = \"acme\"\nmodel = \"px-200\"\nmode = \"enforce\"\n\
         [[plc.route]]\nunit = 1\nprotocol = \"modbus-tcp\"\nlisten = \"{}\"\ntarget = \"{}\"\n\
         way = \"match\"\nprofile = \"generic-file-record\"\n{more}",
        free_address(),
        free_address()
    );
    std::fs::write(dir.join("headgate.toml"), text).expect("writable");
}

#[test]
fn a_site_key_is_written_whole_or_not_at_all() {
    for (there, other) in [("site.pub", "site.key"), ("site.key", "site.pub")] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join(there), "mine").expect("writable");
        let output = in_folder(dir.path(), &["site-key", "new"]);
        assert_eq!(output.status.code(), Some(2), "{there}");
        assert!(said(&output).contains(there) && said(&output).contains("next: nothing is overwritten"));
        assert_eq!(std::fs::read(dir.path().join(there)).expect("it is there"), b"mine");
        assert!(!dir.path().join(other).exists(), "{other} belongs to nothing");
    }
}

#[test]
fn a_key_of_another_kind_is_named_with_its_file_and_what_was_expected() {
    let bench = bench();
    for (name, args) in [
        ("vendor.pem", &["genpkey", "-algorithm", "ed25519", "-out", "vendor.pem"][..]),
        ("vendor.pub", &["pkey", "-in", "vendor.pem", "-pubout", "-out", "vendor.pub"]),
        ("rsa.pem", &["genpkey", "-algorithm", "RSA", "-out", "rsa.pem"]),
    ] {
        let made = Command::new("openssl").args(args).current_dir(bench.dir.path()).output();
        assert!(made.is_ok_and(|o| o.status.success()), "openssl makes {name}");
    }
    let init = |key| ["init", "--again", "--request", "r", "--site-key", key];
    let sign = |key| ["site-key", "sign", "approval-request.json", "--out", "a", "--key", key];
    let cases: &[(&[&str], &str)] = &[
        (&init("vendor.pem"), "vendor.pem: found a private key of kind Ed25519, expected the public half"),
        (&init("vendor.pub"), "vendor.pub: found a public key of kind Ed25519, expected the public half"),
        (&init("rsa.pem"), "rsa.pem: found a private key of kind RSA, expected the public half"),
        (&init("headgate.toml"), "headgate.toml: found other text, expected the public half"),
        (&sign("vendor.pem"), "vendor.pem: found a private key of kind Ed25519, expected the private half"),
        (&sign("site.pub"), "site.pub: found a public key of kind ECDSA P-256, expected the private half"),
        (&sign("rsa.pem"), "rsa.pem: found a private key of kind RSA, expected the private half"),
    ];
    for (args, expected) in cases {
        let (code, text) = bench.refused(args);
        assert_eq!(code, 2, "{args:?}: {text}");
        assert!(text.contains(expected) && text.contains("next: "), "{args:?}: {text}");
    }
}

#[test]
fn a_damaged_record_of_init_is_said_to_be_damaged_and_a_new_key_can_be_sealed() {
    let bench = bench();
    let record = bench.path("data/tpm.json");
    let whole = std::fs::read(&record).expect("init wrote it");
    std::fs::write(&record, &whole[..100]).expect("writable");
    let (code, text) = bench.refused(&["init", "--site-key", "site.pub", "--request", "r"]);
    assert_eq!(code, 71, "{text}");
    for part in ["HG-7004", "tpm.json", "damaged", "backup", "--again", "add every anchor again"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    bench.headgate(&["init", "--site-key", "site.pub", "--request", "r", "--again"]);
    assert_eq!(std::fs::read(bench.path("data/tpm.json.damaged")).expect("kept"), &whole[..100]);
    bench.headgate(&["init", "--request-only", "--request", "r2"]);
}

#[test]
fn a_mistake_of_the_set_up_is_no_internal_one_and_says_what_to_do() {
    let mut bench = bench();
    bench.start();
    for args in [&["run"][..], &["init", "--site-key", "site.pub", "--request", "r"]] {
        let (code, text) = bench.refused(args);
        assert_eq!(code, 2, "{args:?}: {text}");
        assert!(text.contains("in use by process") && text.contains("stop it first"), "{args:?}: {text}");
        assert!(text.contains("next: headgate status asks"), "{args:?}: {text}");
    }
    bench.kill();
    let taken = std::net::TcpListener::bind(free_address()).expect("a free port");
    let address = taken.local_addr().expect("bound");
    bench.configure(&format!(
        "[[plc]]\nid = \"meter-1\"\nvendor = \"acme\"\nmodel = \"px-200\"\nmode = \"enforce\"\n[[plc.route]]\n\
         unit = 1\nprotocol = \"modbus-tcp\"\nlisten = \"{address}\"\ntarget = \"{}\"\naccess = \"read-only\"\n",
        free_address()
    ));
    let (code, text) = bench.refused(&["run"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains(&format!("cannot listen on {address}")), "{text}");
    assert!(text.contains(&format!("next: ss -ltnp 'sport = :{}'", address.port())), "{text}");
}

#[test]
fn the_signature_beside_an_image_is_found_whatever_bytes_its_name_has() {
    use std::os::unix::ffi::OsStrExt;
    let bench = bench();
    let image = &image()[..1000];
    bench.stage("plain.bin", image, "pump-3");
    let name = std::ffi::OsStr::from_bytes(b"\xff\xfe.bin");
    let signature = std::ffi::OsStr::from_bytes(b"\xff\xfe.bin.sig");
    std::fs::copy(bench.path("plain.bin"), bench.dir.path().join(name)).expect("writable");
    std::fs::copy(bench.path("plain.bin.sig"), bench.dir.path().join(signature)).expect("writable");
    let mut command = Command::new(headgate());
    command.current_dir(bench.dir.path()).args(["verify", "--anchor", "acme.pub"]).arg(name);
    let output = command.stdin(Stdio::null()).output().expect("headgate runs");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(
        words.contains("bytes, checked against the given keys only: not a verdict of the gate"),
        "{words}"
    );
}

#[test]
fn config_check_finds_files_that_are_not_there_and_rules_that_do_less_than_they_say() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let check = |more: &str, json: &[&str]| {
        config(dir.path(), more);
        in_folder(dir.path(), &[&["--config", "headgate.toml", "config", "check"], json].concat())
    };
    let tls = "[mqtt]\nurl = \"mqtts://127.0.0.1:8883\"\nca = \"ca.pem\"\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";
    for file in ["ca.pem", "c.pem", "k.pem"] {
        let output = check(tls, &[]);
        assert_eq!(output.status.code(), Some(2), "{file} is missing");
        assert!(
            said(&output).contains(file) && said(&output).contains("headgate.toml: line "),
            "{}",
            said(&output)
        );
        std::fs::write(dir.path().join(file), "-").expect("writable");
    }
    let output = check(tls, &[]);
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""));
    let odd = "[[plc.allow]]\nfunctions = [8, 90]\n";
    let output = check(odd, &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(said(&output).starts_with("headgate: warning: headgate.toml: line 9: "), "{}", said(&output));
    let output = check(odd, &["--json"]);
    assert!(output.stderr.is_empty(), "{}", said(&output));
    assert_eq!(json(&output)["warnings"].as_array().map(Vec::len), Some(1));
    let output = check("[[plc.allow]]\nfunctions = [90]\n", &[]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

#[test]
fn a_text_on_the_command_line_is_one_line() {
    let long = "x".repeat(5000);
    for text in [long.as_str(), "two\nlines", "\u{1b}[2J", ""] {
        let tries: &[&[&str]] = &[
            &["release", "01234567", "--plc", "p", "--ticket", text],
            &["stage", "image.bin", "--plc", "p", "--version", text],
            &["trust", "add", "key.pub", "--vendor", "v", "--model", "m", "--name", text],
            &["plc", "unlock", "p", "--reason", text],
        ];
        for args in tries {
            let output = bare(args);
            assert_eq!(output.status.code(), Some(2), "{args:?}");
            assert!(said(&output).contains("invalid value"), "{args:?}: {}", said(&output));
            assert!(!said(&output).contains('\u{1b}'), "{args:?}: it is not carried out");
        }
    }
}

#[test]
fn every_mistake_says_what_to_do_next() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    config(dir.path(), "");
    std::fs::write(dir.path().join("large.sig"), vec![0; 3_000_000]).expect("writable");
    std::fs::write(dir.path().join("image.bin"), b"an image").expect("writable");
    let with = ["--config", "headgate.toml"];
    let cases: &[(&str, &[&str], i32, &str, &str)] = &[
        ("no configuration", &["--config", "none.toml", "status"], 2, "none.toml", "--config FILE"),
        (
            "a signature that is a folder",
            &["verify", "image.bin", "--plc", "pump-3", "--signature", "."],
            2,
            "not a file",
            "regular file",
        ),
        (
            "one that is far too large",
            &["verify", "image.bin", "--plc", "pump-3", "--signature", "large.sig"],
            2,
            "at most 262144",
            "not an image",
        ),
        (
            "one that is not there",
            &["verify", "image.bin", "--plc", "pump-3", "--signature", "x"],
            3,
            "No such file",
            "a file that is there",
        ),
        ("an option left out", &["release", "01234567"], 2, "--plc", "--help"),
        (
            "something nobody can explain",
            &["explain", "pump"],
            2,
            "neither a reason code",
            "headgate explain --help",
        ),
        ("a case of another gateway", &["explain", "cell-5/C-000001"], 3, "another gateway", "ask there"),
        ("a case of this one", &["explain", "cell-4/C-000001"], 71, "no data folder", "headgate init"),
    ];
    for (what, args, code, found, next) in cases {
        let args = [&with[..], args, &["--json"]].concat();
        // The last --config counts; clap takes one only, so the first is left out where a case brings its own.
        let args =
            if args.iter().filter(|a| **a == "--config").count() > 1 { args[2..].to_vec() } else { args };
        let output = in_folder(dir.path(), &args);
        let said = json(&output);
        assert_eq!(output.status.code(), Some(*code), "{what}: {said}");
        assert!(said["error"].as_str().is_some_and(|e| e.contains(found)), "{what}: {said}");
        assert!(said["next"].as_str().is_some_and(|n| n.contains(next)), "{what}: {said}");
    }
    let words = in_folder(dir.path(), &["--config", "none.toml", "status"]);
    assert!(said(&words).contains("\n  next: name yours with --config FILE"), "{}", said(&words));
}

#[test]
fn a_command_that_needs_the_daemon_says_how_to_start_it() {
    let bench = bench();
    let (code, text) = bench.refused(&["signals", "list"]);
    assert!(code == 70 && text.contains("HG-7009"), "{code} {text}");
    assert!(text.contains("headgate run") && !text.contains("Start the update again"), "{text}");
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(headgate());
    command.arg("demo").env("TMPDIR", dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
    let mut demo = command.stderr(Stdio::null()).spawn().expect("headgate demo starts");
    let folder = dir.path().join(format!("headgate-demo-{}", demo.id()));
    headgate_tests::eventually("the demo has its keys", || folder.join("site.key").exists().then_some(()));
    let pid = rustix::process::Pid::from_child(&demo);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    let code = headgate_tests::eventually("the demo ends", || demo.try_wait().expect("a child"));
    assert_eq!(code.code(), Some(130), "as a program that was interrupted");
    assert!(!folder.exists(), "its site.key is gone with it");
}
