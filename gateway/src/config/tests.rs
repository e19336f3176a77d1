//! Every complaint of the configuration names what was found and what would do.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

const GOOD: &str = r#"
schema = 1
[gateway]
name = "cell-4"
[tpm]
tcti = "device:/dev/tpmrm0"
pcrs = [0, 2, 4, 7]
[[zone]]
id = "wet-well"
[[plc]]
id = "pump-3"
zone = "wet-well"
vendor = "acme"
model = "px-200"
mode = "enforce"
[[plc.route]]
way = "match"
unit = 1
protocol = "modbus-tcp"
listen = "0.0.0.0:1502"
target = "192.0.2.10:502"
profile = "generic-file-record"
[[plc.allow]]
functions = ["reads", 6]
addresses = ["0-199", "0x1000"]
[mqtt]
url = "mqtts://scada.example:8883"
ca = "ca.pem"
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(&[("headgate.toml".into(), text.into())], Path::new("/etc/headgate"))
}

#[test]
fn the_documented_configuration_is_accepted() {
    let config = parse(GOOD).unwrap();
    let plc = config.plc("pump-3").unwrap();
    assert!(plc.enforce && !plc.safety);
    assert_eq!(plc.routes[0].update.as_ref().map(|(way, _)| *way), Some(Way::Match));
    assert_eq!((plc.routes[0].max_stations, plc.routes[0].max_per_address), (64, 32));
    assert_eq!(plc.routes[0].longest_transfer, Duration::from_secs(3600));
    assert_eq!(config.data, Path::new("/var/lib/headgate"));
    assert_eq!(config.mqtt.unwrap().tls.unwrap().ca, Path::new("/etc/headgate/ca.pem"));
}

#[test]
fn each_mistake_is_named_with_what_would_do() {
    let cases: &[(&str, &str, &str, &str)] = &[
        ("unknown key with its line", "mode = \"enforce\"", "mod = \"enforce\"", "unknown field `mod`"),
        ("the line is shown", "mode = \"enforce\"", "mod = \"enforce\"", "line 15"),
        ("unknown mode", "\"enforce\"", "\"audit\"", "unknown variant `audit`"),
        ("unknown zone", "zone = \"wet-well\"", "zone = \"dry\"", "no [[zone]] table"),
        ("no such profile", "generic-file-record", "generic-file", "there are generic-file-record"),
        ("path as profile", "generic-file-record", "../etc/passwd", "letters, digits and '-' only"),
        ("way its profile forbids", "generic-file-record", "ocp-rackmon-delta", "needs \"stage\""),
        ("way without profile", "profile = \"generic-file-record\"", "", "way without profile"),
        ("no address", "0.0.0.0:1502", "pump", "write ADDRESS:PORT"),
        ("address range backwards", "0-199", "199-0", "write \"100\" or \"100-199\""),
        ("function nobody has", "\"reads\", 6", "\"writes\"", "write a number or \"reads\""),
        ("more for one address than for all", "unit = 1", "unit = 1\nmax_per_address = 65", "1 to 64"),
        ("a transfer of no time", "unit = 1", "unit = 1\ntransfer_s = 0", "1 to 86400"),
        ("PCR 24", "[0, 2, 4, 7]", "[24]", "0 to 23"),
        ("name with a slash", "cell-4", "cell/4", "part of MQTT topics"),
        ("TLS without CA", "ca = \"ca.pem\"", "", "mqtts needs ca"),
        (
            "a key file beside the key in the TPM",
            "ca = \"ca.pem\"",
            "ca = \"ca.pem\"\ncertificate = \"tpm\"\nkey = \"own.key\"",
            "the key is in the TPM and no file",
        ),
        (
            "a certificate without its key",
            "ca = \"ca.pem\"",
            "ca = \"ca.pem\"\ncertificate = \"own.pem\"",
            "\"tpm\" alone",
        ),
        ("a key without certificate", "ca = \"ca.pem\"", "ca = \"ca.pem\"\nkey = \"tpm\"", "go together"),
        (
            "the key in the TPM without TLS",
            "mqtts://scada.example:8883\"\nca = \"ca.pem\"",
            "mqtt://scada.example:1883\"\ncertificate = \"tpm\"",
            "need a mqtts:// url",
        ),
        ("other scheme", "mqtts://", "https://", "write mqtts://HOST:8883"),
        (
            "safety takes no updates",
            "mode = \"enforce\"",
            "mode = \"enforce\"\nclass = \"safety\"",
            "takes no updates",
        ),
        ("programs without a profile", "unit = 1", "unit = 1\nclass = \"logic\"", "unknown variant `logic`"),
        (
            "more approvers than can be",
            "mode = \"enforce\"",
            "mode = \"enforce\"\napprovals = 17",
            "0 (none) to 16",
        ),
        ("as many as no number", "mode = \"enforce\"", "mode = \"enforce\"\napprovals = -1", "approvals"),
        ("schema of tomorrow", "schema = 1", "schema = 2", "schema 2"),
        ("no schema", "schema = 1", "", "begin the file with schema = 1"),
    ];
    for (what, from, to, expected) in cases {
        assert!(GOOD.contains(from), "{what}");
        let error = parse(&GOOD.replacen(from, to, 1)).expect_err(what).to_string();
        assert!(error.contains(expected), "{what}: {error}");
        assert!(error.contains("headgate.toml") || error.contains("configuration"), "{what}: {error}");
    }
}

#[test]
fn a_zone_says_how_many_approvers_its_controllers_ask_for_at_the_least() {
    let with = |zone: &str, plc: &str| {
        let text = GOOD.replacen("id = \"wet-well\"", &format!("id = \"wet-well\"\n{zone}"), 1);
        parse(&text.replacen("mode = \"enforce\"", &format!("mode = \"enforce\"\n{plc}"), 1))
    };
    let cases = [
        ("nobody says anything", "", "", Some(None)),
        ("the zone", "approvals = 2", "", Some(Some(2))),
        ("the controller", "", "approvals = 3", Some(Some(3))),
        ("the controller asks for more", "approvals = 2", "approvals = 3", Some(Some(3))),
        ("the controller asks for less", "approvals = 2", "approvals = 1", None),
        ("the controller asks for none", "approvals = 2", "approvals = 0", None),
        ("none", "approvals = 0", "approvals = 0", Some(None)),
    ];
    for (what, zone, plc, expected) in cases {
        let found = with(zone, plc).map(|config| config.plcs[0].approvals.map(u8::from));
        assert_eq!(found.as_ref().ok(), expected.as_ref(), "{what}: {found:?}");
        if let Err(e) = found {
            assert!(e.to_string().contains("its zone \"wet-well\" asks for 2"), "{what}: {e}");
        }
    }
}

const SIGNAL: &str = r#"
[plc.regime]
register = 40020
bands = [100, 500]
hysteresis = 5
[[signal]]
id = "pump-3.shaft"
plc = "pump-3"
source = { kind = "mcp3208", bus = "/dev/spidev0.0", input = 2, reference_v = 3.3, rate_hz = 10 }
"#;

#[test]
fn each_mistake_of_a_signal_or_a_regime_is_named_with_what_would_do() {
    let good = GOOD.replace("[mqtt]", &format!("{SIGNAL}[mqtt]"));
    let config = parse(&good).unwrap();
    let regime = config.plcs[0].regime.as_ref().unwrap();
    assert_eq!((regime.register.function, regime.register.address), (3, 19));
    assert!(matches!(config.signals[0].input, Input::Mcp3208 { input: 2, .. }));
    let cases: &[(&str, &str, &str, &str)] = &[
        ("a bit and bands", "hysteresis = 5", "bit = 1", "write bit = 0 to 15, or bands"),
        ("neither bit nor bands", "bands = [100, 500]\nhysteresis = 5", "", "write bit = 0 to 15, or bands"),
        ("hysteresis of a bit", "bands = [100, 500]", "bit = 1", "hysteresis belongs to bands"),
        ("bit 16", "bands = [100, 500]\nhysteresis = 5", "bit = 16", "bit 16: 0 to 15"),
        ("bands that fall", "[100, 500]", "[500, 100]", "limits 500 and 100: they must rise"),
        ("a register of nowhere", "40020", "19", "register 19: write 30001"),
        ("input 8", "input = 2", "input = 8", "inputs 0 to 7"),
        (
            "a tone of single samples",
            "rate_hz = 10 }",
            "rate_hz = 10 }\nnominal_hz = 24.7",
            "needs a waveform",
        ),
        ("unknown key with its line", "bands =", "band =", "unknown field `band`"),
        ("the id of a controller", "\"pump-3.shaft\"", "\"pump-3\"", "a controller has this id"),
        ("the id of the gateway", "\"pump-3.shaft\"", "\"cell-4\"", "the gateway has this id"),
        ("an id of the health", "\"pump-3.shaft\"", "\"health.load\"", "of the gateway's own health"),
        (
            "a flat loop",
            "rate_hz = 10 }",
            "rate_hz = 10 }\nloop = { shunt_ohm = 250, at_4_ma = 7, at_20_ma = 7 }",
            "are both 7",
        ),
        ("no limit at all", "rate_hz = 10 }", "rate_hz = 10 }\nhigh = inf", "high inf: a number"),
        (
            "hysteresis of nothing",
            "rate_hz = 10 }",
            "rate_hz = 10 }\nhysteresis = 2",
            "hysteresis without low or high",
        ),
        ("no path", "/dev/spidev0.0", "", "source: bus is empty"),
    ];
    let sources: &[(&str, &str, &str)] = &[
        (
            "a short window of a tone",
            "kind = \"iio\", device = \"x\", channel = 0, rate_hz = 50 }\nmeasure = \"frequency\"",
            "is 50 samples: at least 64; write window_s = 1.280",
        ),
        (
            "a long window of a tone",
            "kind = \"iio\", device = \"x\", channel = 0, rate_hz = 50000 }\nmeasure = \"frequency\"\nwindow_s = 2",
            "is 100000 samples: at most 65536",
        ),
        (
            "slow samples of mains",
            "kind = \"iio\", device = \"x\", channel = 0, rate_hz = 860 }\nmeasure = \"mains\"",
            "mains need at least 1600",
        ),
        (
            "a level of few samples",
            "kind = \"iio\", device = \"x\", channel = 0, rate_hz = 10 }\nmeasure = \"level\"\nreference = 1",
            "is 10 samples: at least 16",
        ),
        (
            "a range of no chip",
            "kind = \"ads1115\", bus = \"/dev/i2c-1\", address = 72, input = 0, range_v = 5, rate_hz = 10 }",
            "range_v 5: an ADS1115 has [0.256",
        ),
        (
            "a rate of no chip",
            "kind = \"ads1115\", bus = \"/dev/i2c-1\", address = 72, input = 0, rate_hz = 1000 }",
            "up to 860",
        ),
        ("a chip without a line", "kind = \"gpio\", chip = \"/dev/gpiochip0\" }", "missing field `line`"),
        (
            "a line that is none",
            "kind = \"gpio\", chip = \"c\", line = true }",
            "its number on the chip, from 0",
        ),
        ("a line below 0", "kind = \"gpio\", chip = \"c\", line = -1 }", "or its name in quotes"),
        ("a line without a name", "kind = \"gpio\", chip = \"c\", line = \" \" }", "source: line is empty"),
        ("no chip", "kind = \"gpio\", chip = \"\", line = 0 }", "source: chip is empty"),
        (
            "a bias of no chip",
            "kind = \"gpio\", chip = \"c\", line = 0, bias = \"up\" }",
            "unknown variant `up`, expected `pull-up` or `pull-down`",
        ),
        ("no vital", "kind = \"health\", vital = \"\" }", "vital is empty"),
        ("no column", "kind = \"file\", path = \"x.csv\", column = \" \", rate_hz = 1 }", "column is empty"),
    ];
    let source = &SIGNAL[SIGNAL.find("kind = \"mcp3208\"").unwrap()..SIGNAL.trim_end().len()];
    for (what, to, expected) in sources {
        let error = parse(&good.replacen(source, to, 1)).expect_err(what).to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
    for (what, from, to, expected) in cases {
        assert!(good.contains(from), "{what}");
        let error = parse(&good.replacen(from, to, 1)).expect_err(what).to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn a_digital_input_is_a_line_by_its_number_or_by_its_name() {
    use hal::sensor::gpio::{Bias, Setup, Which};
    let chip = "kind = \"gpio\", chip = \"/dev/gpiochip0\", line = ";
    let source = &SIGNAL[SIGNAL.find("kind = ").unwrap()..SIGNAL.trim_end().len()];
    let cases = [
        ("0 }", Which::Number(0), false, Bias::AsIs, 1000),
        ("\"0\" }", Which::Name("0".into()), false, Bias::AsIs, 1000),
        ("\"KEY\", bias = \"pull-down\" }", Which::Name("KEY".into()), false, Bias::PullDown, 1000),
        (
            "7, active_low = true, bias = \"pull-up\", poll_ms = 200 }",
            Which::Number(7),
            true,
            Bias::PullUp,
            200,
        ),
    ];
    for (typed, which, active_low, bias, poll_ms) in cases {
        let signal = SIGNAL.replacen(source, &format!("{chip}{typed}"), 1);
        let config = parse(&GOOD.replace("[mqtt]", &format!("{signal}[mqtt]"))).unwrap();
        let Input::Gpio { line, every } = &config.signals[0].input else { panic!("{typed}") };
        let setup = Setup { chip: "/dev/gpiochip0".into(), line: which, active_low, bias };
        assert_eq!((line, *every), (&setup, Duration::from_millis(poll_ms)), "{typed}");
    }
}

#[test]
fn a_second_file_adds_controllers_but_not_a_second_gateway() {
    let more = GOOD[GOOD.find("[[plc]]").unwrap()..GOOD.find("[mqtt]").unwrap()]
        .replace("pump-3", "pump-4")
        .replace("192.0.2.10", "192.0.2.11")
        .replace("1502", "1503");
    let more = format!("schema = 1\n{more}");
    let files = [("a".to_string(), GOOD.to_string()), ("b".to_string(), more.clone())];
    assert_eq!(Config::parse(&files, Path::new("/")).unwrap().plcs.len(), 2);
    let twice = [("a".to_string(), GOOD.to_string()), ("b".to_string(), GOOD.to_string())];
    assert!(Config::parse(&twice, Path::new("/")).unwrap_err().to_string().contains("another file"));
    let same_port = [("a".to_string(), GOOD.to_string()), ("b".to_string(), more.replace("1503", "1502"))];
    assert!(Config::parse(&same_port, Path::new("/")).unwrap_err().to_string().contains("used twice"));
}

#[test]
fn one_gate_sees_all_that_reaches_a_controller() {
    let plc = &GOOD[GOOD.find("[[plc]]").unwrap()..GOOD.find("[mqtt]").unwrap()];
    let route = &plc[plc.find("[[plc.route]]").unwrap()..plc.find("[[plc.allow]]").unwrap()];
    let two_routes = GOOD.replacen(route, &format!("{route}{}", route.replace("1502", "1503")), 1);
    assert!(parse(&two_routes).unwrap_err().to_string().contains("a controller has one"));
    let twin = plc.replace("pump-3", "pump-4").replace("1502", "1503");
    let same_target = GOOD.replacen("[mqtt]", &format!("{twin}[mqtt]"), 1);
    assert!(parse(&same_target).unwrap_err().to_string().contains("one gate must see all"));
    let empty = GOOD.replace("[\"0-199\", \"0x1000\"]", "[]");
    assert!(parse(&empty).unwrap_err().to_string().contains("leave it out to allow all"));
}

#[test]
fn the_class_of_mains_goes_with_mains_only_and_is_p_unless_said() {
    use sensor_monitor::channel::{Class, Measure};
    let parse = |keys: &str| {
        let source = "source = { kind = \"iio\", device = \"a\", channel = 0, rate_hz = 8000 }";
        parse(&format!("{GOOD}\n[[signal]]\nid = \"mains\"\n{keys}\n{source}\n"))
    };
    for (keys, class) in
        [("", Class::P), ("class = \"p\"\n", Class::P), ("class = \"m\"\nnominal_hz = 60\n", Class::M)]
    {
        let config = parse(&format!("measure = \"mains\"\n{keys}")).unwrap();
        let Measure::Mains(mains) = config.signals[0].spec.measure else { panic!("{keys}") };
        assert_eq!(mains.class, class, "{keys}");
    }
    for (keys, expected) in [
        ("class = \"m\"", "it goes with measure = \"mains\""),
        ("measure = \"level\"\nreference = 1\nclass = \"p\"", "it goes with measure = \"mains\""),
        ("measure = \"mains\"\nclass = \"M\"", "expected `p` or `m`"),
    ] {
        let error = parse(keys).expect_err(keys).to_string();
        assert!(error.contains(expected), "{keys}: {error}");
    }
}

#[test]
fn the_key_in_the_tpm_needs_no_file_and_a_file_may_have_its_name() {
    let client = |keys: &str| {
        let config =
            parse(&GOOD.replacen("ca = \"ca.pem\"", &format!("ca = \"ca.pem\"\n{keys}"), 1)).unwrap();
        let needed: Vec<_> = config.needed.iter().map(|n| n.key).collect();
        (config.mqtt.unwrap().tls.unwrap().client, needed)
    };
    assert_eq!(client("certificate = \"tpm\""), (Some(MqttClient::Tpm), vec!["ca"]));
    let (files, needed) = client("certificate = \"./tpm\"\nkey = \"own.key\"");
    assert!(matches!(files, Some(MqttClient::Files { .. })), "{files:?}");
    assert_eq!(needed, ["ca", "certificate", "key"]);
}

#[test]
fn each_complaint_names_file_and_line_of_its_table() {
    let whole = format!("{GOOD}{SIGNAL}[soak]\nlasts_s = 600\n[health]\npoll_s = 10\n");
    let whole = whole.replacen("[plc.regime]\nregister = 40020\nbands = [100, 500]\nhysteresis = 5\n", "", 1);
    parse(&whole).unwrap();
    let cases: &[(&str, &str, &str, &str)] = &[
        ("[gateway]", "[gateway]", "cell-4", "cell/4"),
        ("[tpm], its PCRs", "[tpm]", "[0, 2, 4, 7]", "[24]"),
        ("[tpm], its TCTI", "[tpm]", "device:/dev/tpmrm0", "nonsense"),
        ("[[plc]]", "[[plc]]", "zone = \"wet-well\"", "zone = \"dry\""),
        ("[[plc]], its route", "[[plc]]", "0.0.0.0:1502", "pump"),
        ("[[plc]], its rules", "[[plc]]", "0-199", "199-0"),
        ("[mqtt]", "[mqtt]", "mqtts://", "https://"),
        ("[[signal]]", "[[signal]]", "input = 2", "input = 8"),
        ("[soak]", "[soak]", "lasts_s = 600", "lasts_s = 0"),
        ("[health]", "[health]", "poll_s = 10", "poll_s = 0"),
    ];
    for (what, head, from, to) in cases {
        assert!(whole.contains(from), "{what}");
        let error = parse(&whole.replacen(from, to, 1)).expect_err(what).to_string();
        let line = 1 + whole[..whole.find(head).unwrap()].matches('\n').count();
        assert!(error.starts_with(&format!("headgate.toml: line {line}: ")), "{what}: {error}");
    }
    let nothing = parse("schema = 1\n").unwrap_err().to_string();
    assert!(nothing.starts_with("headgate.toml: no [gateway]"), "{nothing}");
    let twice = [
        ("a".to_string(), GOOD.to_string()),
        ("b".to_string(), "schema = 1\n\n[tpm]\ntcti = \"\"\npcrs = []".into()),
    ];
    let error = Config::parse(&twice, Path::new("/")).unwrap_err().to_string();
    assert_eq!(error, "b: line 3: [tpm] was given in another file already");
}

#[test]
fn a_rule_that_can_do_nothing_is_an_error_and_one_that_does_less_than_it_says_a_warning() {
    /// What comes of the rule: nothing to say, a warning, an error.
    type Outcome = Result<Option<&'static str>, &'static str>;
    let cases: &[(&str, &str, Outcome)] = &[
        (
            "reads and writes of process registers",
            "functions = [\"reads\", 6]\naddresses = [\"0-199\"]",
            Ok(None),
        ),
        ("writes anywhere", "functions = [6, 16]", Ok(None)),
        ("reads of the control block", "functions = [3]\naddresses = [\"0xF000-0xF003\"]", Ok(None)),
        ("coils of the same numbers", "functions = [5]\naddresses = [\"0xF000\"]", Ok(None)),
        ("diagnostics", "functions = [8]", Ok(None)),
        (
            "a function nobody can allow, and another",
            "functions = [8, 90]",
            Ok(Some("function 90: no allow-list")),
        ),
        ("only such a function", "functions = [90]", Err("this rule allows nothing")),
        ("file records, which are the update's", "functions = [21]", Err("this rule allows nothing")),
        (
            "a range that holds the control block",
            "functions = [6]\naddresses = [\"0-0xFFFF\"]",
            Ok(Some("addresses 0-65535 are update registers of profile \"generic-file-record\"")),
        ),
        (
            "reads and writes of the control block",
            "functions = [3, 6]\naddresses = [\"0xF000\"]",
            Ok(Some("addresses 61440 are update registers")),
        ),
        (
            "only writes of the control block",
            "functions = [6, 16]\naddresses = [\"0xF000-0xF001\"]",
            Err("this rule allows nothing"),
        ),
    ];
    for (what, rule, expected) in cases {
        let text = GOOD.replacen("functions = [\"reads\", 6]\naddresses = [\"0-199\", \"0x1000\"]", rule, 1);
        match (parse(&text), expected) {
            (Ok(config), Ok(None)) => assert!(config.warnings.is_empty(), "{what}: {:?}", config.warnings),
            (Ok(config), Ok(Some(said))) => {
                let [warning] = &config.warnings[..] else { panic!("{what}: {:?}", config.warnings) };
                assert!(
                    warning.starts_with("headgate.toml: line 10: plc \"pump-3\": allow rule 1: "),
                    "{warning}"
                );
                assert!(warning.contains(said), "{what}: {warning}");
            }
            (Err(e), Err(said)) => {
                assert!(e.to_string().contains(said), "{what}: {e}");
                assert!(e.to_string().starts_with("headgate.toml: line 10: plc"), "{what}: {e}");
            }
            (found, _) => panic!("{what}: {:?}", found.map(|c| c.warnings)),
        }
    }
}

#[test]
fn a_transducer_is_not_the_controller_that_it_checks() {
    let with = |plc: &str, target: &str| {
        let source = format!("{{ kind = \"modbus\", target = {target:?}, unit = 9, register = 30001 }}");
        parse(&format!("{GOOD}\n[[signal]]\nid = \"flow\"\n{plc}\nsource = {source}\n"))
    };
    let config = parse(GOOD).unwrap();
    let route = &config.plcs[0].routes[0];
    let (target, listen) = (route.target.to_string(), route.listen.to_string());
    for (address, expected) in [(&target, "is controller \"pump-3\" itself:"), (&listen, "past this gateway")]
    {
        let error = with("plc = \"pump-3\"", address).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("a transducer of its own"), "{error}");
    }
    with("plc = \"pump-3\"", "192.0.2.77:502").unwrap();
    with("", &target).unwrap();
}

#[test]
fn what_is_measured_is_named_as_it_is_typed() {
    let source = "source = { kind = \"mcp3208\", bus = \"/dev/spidev0.0\", input = 2, reference_v = 3.3, rate_hz = 10 }";
    for (keys, word) in [
        ("measure = \"level\"\nreference = 1.5", "level"),
        ("measure = \"mains\"", "mains"),
        ("nominal_hz = 50", "frequency"),
    ] {
        let error =
            parse(&format!("{GOOD}\n[[signal]]\nid = \"x\"\n{keys}\n{source}\n")).unwrap_err().to_string();
        assert!(error.contains(&format!("measure = \"{word}\" needs a waveform")), "{error}");
    }
}

#[test]
fn a_recording_has_the_columns_that_are_named_and_a_number_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pump.csv");
    let text = format!(
        "{}\n[[signal]]\nid = \"flow\"\nsource = {{ kind = \"file\", path = {path:?}, column = \"flow\", rate_hz = 1 }}\n",
        GOOD.split("[mqtt]").next().unwrap()
    );
    let config = parse(&text).unwrap();
    let cases: &[(&str, Option<&str>)] = &[
        ("", Some("no row has a time")),
        (
            "timestamp,flow\n",
            Some("no row has a time in column \"timestamp\" and a number in column \"flow\""),
        ),
        ("timestamp,level\n1,2\n", Some("there is no column flow; the header names")),
        ("time,flow\n1,2\n", Some("there is no column timestamp")),
        ("timestamp,flow\n1,high\n2,low\n", Some("no row has")),
        ("timestamp,flow\n1,high\n2,3.5\n", None),
    ];
    for (content, expected) in cases {
        std::fs::write(&path, content).unwrap();
        let found = config.find_files().map_err(|e| e.to_string());
        match (expected, &found) {
            (None, Ok(())) => {}
            (Some(words), Err(e)) => {
                assert!(e.contains(words) && e.contains("[[signal]] path"), "{content:?}: {e}")
            }
            _ => panic!("{content:?}: {found:?}"),
        }
    }
}
