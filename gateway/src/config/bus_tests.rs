#![allow(clippy::unwrap_used)]

use super::super::Config;
use super::*;

const GOOD: &str = r#"
schema = 1
[gateway]
name = "cell-4"
[tpm]
tcti = "device:/dev/tpmrm0"
pcrs = [0]
[[plc]]
id = "pump-3"
vendor = "acme"
model = "px-200"
mode = "observe"
[[plc.route]]
unit = 1
protocol = "modbus-tcp"
listen = "127.0.0.1:1502"
target = "192.0.2.10:502"
[[signal]]
id = "flow"
source = { kind = "health", vital = "load" }

[[bus]]
id = "line-2"
device = "/dev/ttyS1"
units = { 7 = "pump-3" }
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(&[("headgate.toml".into(), text.into())], Path::new("/etc/headgate"))
}

#[test]
fn each_mistake_is_named_with_its_line_and_what_would_do() {
    let id = "id = \"line-2\"";
    let cases: &[(&str, &str, &str, &str)] = &[
        (
            "the line is told",
            id,
            "id = \"line-2\"\nstop = 3",
            "headgate.toml: line 22: bus \"line-2\": stop 3: 1 to 2",
        ),
        ("the name of a unit", "id = \"flow\"", "id = \"line-2.unit-7\"", "has the name of one of its units"),
        ("unknown key", id, "id = \"line-2\"\nbauds = 9600", "unknown field `bauds`"),
        (
            "too few samples for each bit",
            id,
            "id = \"line-2\"\nlevel = { device = \"mcp3208\", channel = \"in_voltage0\", rate_hz = 100000, factor = 1 }",
            "gives 5.2 samples for each bit at 19200 bit/s: 8 to 200",
        ),
        (
            "a channel that is none",
            id,
            "id = \"line-2\"\nlevel = { device = \"mcp3208\", channel = \"../0\", rate_hz = 200000, factor = 1 }",
            "as the kernel names it",
        ),
        (
            "whole samples for each bit",
            id,
            "id = \"line-2\"\nlevel = { device = \"mcp3208\", channel = \"in_voltage0\", rate_hz = 192000, factor = 1 }",
            "sees every edge at the same place; take another rate, such as 199104",
        ),
        (
            "a controller with two addresses",
            "{ 7 = \"pump-3\" }",
            "{ 7 = \"pump-3\", 9 = \"pump-3\" }",
            "is unit 7 and unit 9",
        ),
        ("no port", "\"/dev/ttyS1\"", "\"\"", "path of a serial port"),
        ("unknown parity", id, "id = \"line-2\"\nparity = \"mark\"", "unknown variant `mark`"),
        (
            "no speed has so many bits",
            id,
            "id = \"line-2\"\nbaud = 50000000",
            "baud 50000000: 300 to 4000000",
        ),
        (
            "a window of nothing",
            id,
            "id = \"line-2\"\nwindow_s = 0",
            "window_s 0: 0.05 to 600; each unit should",
        ),
        ("a window of no number", id, "id = \"line-2\"\nwindow_s = nan", "window_s NaN: 0.05 to 600"),
        ("too little to learn from", id, "id = \"line-2\"\nlearn = 10", "learn 10: 260 to 65536"),
        ("no false alarm ever", id, "id = \"line-2\"\nfalse_alarms_per_year = 0", "0.001 to 100000"),
        ("an address nobody has", "7 = \"pump-3\"", "248 = \"pump-3\"", "addresses on a bus are 1 to 247"),
        ("everybody's address", "7 = \"pump-3\"", "0 = \"pump-3\"", "addresses on a bus are 1 to 247"),
        (
            "a controller nobody knows",
            "7 = \"pump-3\"",
            "7 = \"pump-4\"",
            "there is no [[plc]] table with this id",
        ),
        ("a path as id", id, "id = \"../line\"", "it names a file and a topic"),
        ("a controller's id", id, "id = \"pump-3\"", "a controller has this id"),
        ("a signal's id", id, "id = \"flow\"", "a signal has this id"),
        ("the gateway's name", id, "id = \"cell-4\"", "the gateway has this id"),
        (
            "the same id",
            "[[bus]]",
            "[[bus]]\nid = \"line-2\"\ndevice = \"/dev/ttyS2\"\n[[bus]]",
            "line 25: bus \"line-2\": this id is used twice",
        ),
        (
            "the same port",
            "[[bus]]",
            "[[bus]]\nid = \"line-1\"\ndevice = \"/dev/ttyS1\"\n[[bus]]",
            "is heard by bus \"line-1\" already",
        ),
    ];
    for (what, from, to, expected) in cases {
        assert!(GOOD.contains(from), "{what}");
        let error = parse(&GOOD.replacen(from, to, 1)).expect_err(what).to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn a_bus_has_the_format_of_the_standard_unless_it_says_otherwise() {
    let bits = |more: &str| {
        let config = parse(&GOOD.replacen("device =", &format!("{more}\ndevice ="), 1)).unwrap();
        let bus = config.buses[0].clone();
        (bus.settings.line.bits, bus.format.parity, bus.format.two_stop)
    };
    assert_eq!(bits(""), (11, Parity::Even, false));
    assert_eq!(bits("parity = \"none\""), (11, Parity::None, true));
    assert_eq!(bits("parity = \"none\"\nstop = 1"), (10, Parity::None, false));
    let config = parse(GOOD).unwrap();
    let bus = &config.buses[0];
    assert_eq!((bus.settings.learning, bus.settings.window), (1080, Duration::from_secs(10)));
    assert_eq!(bus.units, BTreeMap::from([(7, "pump-3".to_string())]));
    assert_eq!(bus.device, Path::new("/dev/ttyS1"));
}
