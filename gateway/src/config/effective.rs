//! The effective configuration in the one form that is digested and approved: every file merged, with the
//! transfer profiles and policy modules in use.
//!
//! It is canonical JSON ([`firmware_verifier::canonical`]): what TOML leaves open (comments, blanks, the order of
//! keys and tables, how a number is written, which file holds a table) is gone, and what was typed is there, so
//! that another version of Headgate finds the same digest. No default is filled in, and no file that a key names
//! is part of it: secrets stay where they are. It can be read back, and runs as the files would.

use std::collections::BTreeMap;

use firmware_verifier::{Digest, canonical};
use serde_json::{Map, Value, json};

/// Largest form that can be approved. A controller with twenty rules takes about 2 KiB.
pub const MAX_EFFECTIVE: usize = 384 << 10;

/// What keeps these bytes from being read as anything else.
const KIND: &str = "headgate configuration";
/// Version of the form.
const SCHEMA: u64 = 1;
/// Lists whose order means nothing.
const SETS: &[&str] =
    &["zone", "plc", "signal", "bus", "allow", "functions", "addresses", "stations", "pcrs"];
/// How a number with a fraction is written: as text that is the same everywhere, and marked as a number.
const FLOAT: &str = "float";
/// Whole numbers up to here are the same as floats.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0; // 2^53

/// One configuration in its canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    value: Value,
    bytes: Vec<u8>,
}

/// One key that differs between two configurations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `plc.pump-3.mode`.
    pub key: String,
    /// What it was; `None`: it was not there.
    pub old: Option<String>,
    /// What it is.
    pub new: Option<String>,
}

/// Bytes that are no configuration in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EffectiveError(String);

impl Effective {
    /// The canonical form of configuration texts that have been checked, with the texts of their profiles and of the policy.
    pub(super) fn of<'a>(
        texts: impl Iterator<Item = &'a str>,
        profiles: &BTreeMap<String, String>,
        policy: &BTreeMap<String, String>,
    ) -> Result<Effective, EffectiveError> {
        let mut whole = toml::Table::new();
        for text in texts {
            for (key, value) in table(text)? {
                match (whole.get_mut(&key), value) {
                    (Some(toml::Value::Array(all)), toml::Value::Array(more)) => all.extend(more),
                    (_, value) => drop(whole.insert(key, value)),
                }
            }
        }
        whole.remove("schema"); // of a file; this form has its own
        if let Some(toml::Value::Table(gateway)) = whole.get_mut("gateway") {
            gateway.remove("profiles"); // where they were found; what they say is part of this
        }
        if let Some(toml::Value::Table(table)) = whole.get_mut("policy") {
            table.remove("files"); // as for profiles
            let module = |(name, text): (&String, &String)| (name.clone(), toml::Value::String(text.clone()));
            table.insert("module".into(), toml::Value::Table(policy.iter().map(module).collect()));
        }
        let mut shelf = Map::new();
        for (id, text) in profiles {
            shelf.insert(id.clone(), from_toml("profile", toml::Value::Table(table(text)?))?);
        }
        let config = from_toml("", toml::Value::Table(whole))?;
        Effective::from_value(json!({ "kind": KIND, "schema": SCHEMA, "config": config, "profiles": shelf }))
    }

    fn from_value(value: Value) -> Result<Effective, EffectiveError> {
        let bytes = canonical::to_vec(&value).map_err(|e| EffectiveError(e.to_string()))?;
        Ok(Effective { value, bytes })
    }

    /// Reads the canonical form. Whether anybody approved it, its digest says.
    pub fn read(bytes: &[u8]) -> Result<Effective, EffectiveError> {
        let bad = |what: &str| EffectiveError(format!("no configuration in canonical form: {what}"));
        if bytes.len() > MAX_EFFECTIVE {
            return Err(bad(&format!("{} bytes, at most {MAX_EFFECTIVE}", bytes.len())));
        }
        let value: Option<Value> = canonical::from_slice(bytes).map_err(|e| bad(&e.to_string()))?;
        let value = value.ok_or_else(|| bad("it is JSON, but not as it is written here"))?;
        let keys = value.as_object().map_or(0, Map::len);
        let head = (value["kind"].as_str(), value["schema"].as_u64());
        if head != (Some(KIND), Some(SCHEMA)) || keys != 4 {
            return Err(bad(&format!("found kind {}, schema {}", value["kind"], value["schema"])));
        }
        let both = value["config"].is_object() && value["profiles"].is_object();
        if both { Ok(Effective { value, bytes: bytes.to_vec() }) } else { Err(bad("config or profiles")) }
    }

    /// The canonical form.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the canonical form: what approvers sign.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// The configuration and each profile as TOML again, to be parsed and checked like files.
    pub(crate) fn texts(&self) -> Result<(String, BTreeMap<String, String>), EffectiveError> {
        let mut config = into_table(&self.value["config"])?;
        config.insert("schema".into(), toml::Value::Integer(1));
        let mut profiles = BTreeMap::new();
        for (id, profile) in self.value["profiles"].as_object().into_iter().flatten() {
            profiles.insert(id.clone(), text(&into_table(profile)?)?);
        }
        Ok((text(&config)?, profiles))
    }

    /// Every key in which `new` differs from this, by name.
    pub fn differences(&self, new: &Effective) -> Vec<Difference> {
        let (old, new) = (self.flat(), new.flat());
        let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
        keys.sort();
        keys.dedup();
        let differs = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
        let row = |key: &String| Difference {
            key: key.clone(),
            old: old.get(key).cloned(),
            new: new.get(key).cloned(),
        };
        differs.map(row).collect()
    }

    fn flat(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        for (key, value) in self.value["config"].as_object().into_iter().flatten() {
            flatten(key.clone(), value, &mut out);
        }
        for (id, profile) in self.value["profiles"].as_object().into_iter().flatten() {
            flatten(format!("profile.{id}"), profile, &mut out);
        }
        out
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let side = |side: &Option<String>| match side {
            Some(text) => clip(text),
            None => "not there".into(),
        };
        write!(f, "{}: {} -> {}", self.key, side(&self.old), side(&self.new))
    }
}

/// A value as short as a line of a list can show it.
fn clip(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.into(),
    }
}

fn table(text: &str) -> Result<toml::Table, EffectiveError> {
    text.parse().map_err(|e: toml::de::Error| EffectiveError(e.to_string()))
}

fn text(table: &toml::Table) -> Result<String, EffectiveError> {
    toml::to_string(table).map_err(|e| EffectiveError(e.to_string()))
}

/// The canonical form of what stands under `key`.
fn from_toml(key: &str, value: toml::Value) -> Result<Value, EffectiveError> {
    Ok(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(n) => n.into(),
        toml::Value::Boolean(b) => b.into(),
        toml::Value::Float(f) => float(key, f)?,
        toml::Value::Datetime(d) => return Err(EffectiveError(format!("{key}: no key takes a date ({d})"))),
        toml::Value::Array(items) => {
            let mut items = items.into_iter().map(|i| from_toml(key, i)).collect::<Result<Vec<_>, _>>()?;
            if SETS.contains(&key) {
                items.sort_by_cached_key(|item| (name_of(item), canonical::to_vec(item).unwrap_or_default()));
                items.dedup();
            }
            items.into()
        }
        toml::Value::Table(table) => {
            let fields = table.into_iter().map(|(key, value)| Ok((key.clone(), from_toml(&key, value)?)));
            Value::Object(fields.collect::<Result<_, EffectiveError>>()?)
        }
    })
}

/// `1.0` and `1` are one number; a fraction is text, as readers of JSON round it differently.
fn float(key: &str, f: f64) -> Result<Value, EffectiveError> {
    if !f.is_finite() {
        return Err(EffectiveError(format!("{key}: {f} is no number")));
    }
    #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
    let whole = |f: f64| f as i64;
    match f.fract() == 0.0 && f.abs() <= MAX_EXACT {
        true => Ok(whole(f).into()),
        false => Ok(json!({ FLOAT: format!("{f:?}") })),
    }
}

fn into_table(value: &Value) -> Result<toml::Table, EffectiveError> {
    match into_toml(value)? {
        toml::Value::Table(table) => Ok(table),
        other => Err(EffectiveError(format!("found {}, expected a table", other.type_str()))),
    }
}

fn into_toml(value: &Value) -> Result<toml::Value, EffectiveError> {
    let bad = || EffectiveError(format!("{value} is nothing that a configuration holds"));
    Ok(match value {
        Value::String(text) => toml::Value::String(text.clone()),
        Value::Bool(b) => toml::Value::Boolean(*b),
        Value::Number(n) => toml::Value::Integer(n.as_i64().ok_or_else(bad)?),
        Value::Null => return Err(bad()),
        Value::Array(items) => toml::Value::Array(items.iter().map(into_toml).collect::<Result<_, _>>()?),
        Value::Object(map) => match fraction(map) {
            Some(text) => toml::Value::Float(text.parse().map_err(|_| bad())?),
            None => {
                let fields = map.iter().map(|(key, value)| Ok((key.clone(), into_toml(value)?)));
                toml::Value::Table(fields.collect::<Result<_, EffectiveError>>()?)
            }
        },
    })
}

/// The text of a number that [`float`] wrote.
fn fraction(map: &Map<String, Value>) -> Option<&str> {
    map.get(FLOAT).filter(|_| map.len() == 1)?.as_str()
}

/// The id of a table, or the name of a step.
fn name_of(value: &Value) -> Option<String> {
    value.get("id").or_else(|| value.get("name"))?.as_str().map(Into::into)
}

/// A name as a part of a key, quoted as TOML does where it is no bare one: no two keys are ever the same.
fn part(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().all(bare) { name.into() } else { format!("{name:?}") }
}

/// Names every value by its way from the top; tables of a list by their id, else a list is one value.
fn flatten(key: String, value: &Value, out: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => match fraction(map) {
            Some(text) => drop(out.insert(key, text.into())),
            None if map.is_empty() => drop(out.insert(key, "{}".into())),
            None => map.iter().for_each(|(k, v)| flatten(format!("{key}.{}", part(k)), v, out)),
        },
        Value::Array(items) if !items.is_empty() && items.iter().all(|i| name_of(i).is_some()) => {
            for item in items {
                flatten(format!("{key}.{}", part(&name_of(item).unwrap_or_default())), item, out);
            }
        }
        // A controller has one route.
        Value::Array(items) if items.len() == 1 && items[0].is_object() && !key.ends_with(".allow") => {
            flatten(key, &items[0], out);
        }
        value => drop(out.insert(key, value.to_string())),
    }
}

/// Longest value that is shown whole.
const MAX_SHOWN: usize = 160;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    const BASE: &str = r#"
schema = 1
[gateway]
name = "cell-4"
[tpm]
tcti = "device:/dev/tpmrm0"
pcrs = [0, 2, 4, 7]
[[plc]]
id = "pump-3"
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
addresses = ["0-199", "300"]
[[plc]]
id = "pump-4"
vendor = "acme"
model = "px-200"
mode = "observe"
[[plc.route]]
unit = 2
protocol = "modbus-tcp"
listen = "0.0.0.0:1503"
target = "192.0.2.11:502"
[[signal]]
id = "shaft"
source = { kind = "modbus", target = "192.0.2.30:502", unit = 1, register = 30001, scale = 0.1 }
"#;

    fn parse(texts: &[&str]) -> Config {
        let files: Vec<(String, String)> =
            texts.iter().enumerate().map(|(n, t)| (n.to_string(), (*t).to_string())).collect();
        Config::parse(&files, Path::new("/etc/headgate")).unwrap()
    }

    fn of(text: &str) -> Effective {
        parse(&[text]).effective
    }

    #[test]
    fn what_toml_leaves_open_does_not_change_the_digest() {
        let digest = of(BASE).digest();
        let second = BASE.find("[[plc]]\nid = \"pump-4\"").unwrap();
        let (first, rest) = BASE.split_at(second);
        let swapped = BASE.replace("pcrs = [0, 2, 4, 7]", "pcrs = [7, 0x4, 2, 0, 0]");
        let cases = [
            ("comments and blanks", BASE.replace("mode = ", "# why\n\n  mode   =  ")),
            (
                "the order of keys",
                BASE.replace("unit = 1\nprotocol = \"modbus-tcp\"", "protocol = \"modbus-tcp\"\nunit = 1"),
            ),
            ("the order of a set, and how a number is written", swapped),
            ("the order of rules", BASE.replace("[\"reads\", 6]", "[6, 'reads']")),
            ("a number in another base", BASE.replace("unit = 2", "unit = 0b10")),
        ];
        for (what, text) in cases {
            assert_ne!(text, BASE, "{what}");
            assert_eq!(of(&text).digest(), digest, "{what}");
        }
        let files = parse(&[first, &format!("schema = 1\n{rest}")]);
        assert_eq!(files.effective.digest(), digest, "which file holds a table");
        let files = parse(&[
            &format!("{}{}", &first[..first.find("[[plc]]").unwrap()], rest),
            &format!("schema = 1\n{}", &first[first.find("[[plc]]").unwrap()..]),
        ]);
        assert_eq!(files.effective.digest(), digest, "the order of controllers");
    }

    #[test]
    fn every_value_counts_and_its_difference_is_named() {
        let old = of(BASE);
        let cases = [
            ("mode = \"enforce\"", "mode = \"observe\"", "plc.pump-3.mode: \"enforce\" -> \"observe\""),
            ("match", "stage", "plc.pump-3.route.way: \"match\" -> \"stage\""),
            ("scale = 0.1", "scale = 0.2", "signal.shaft.source.scale: 0.1 -> 0.2"),
            (
                "mode = \"observe\"\n",
                "mode = \"observe\"\nclass = \"safety\"\n",
                "plc.pump-4.class: not there -> \"safety\"",
            ),
            ("[0, 2, 4, 7]", "[0, 2, 4]", "tpm.pcrs: [0,2,4,7] -> [0,2,4]"),
        ];
        for (from, to, said) in cases {
            let new = of(&BASE.replacen(from, to, 1));
            assert_ne!(new.digest(), old.digest(), "{said}");
            let rows: Vec<String> = old.differences(&new).iter().map(ToString::to_string).collect();
            assert_eq!(rows, [said]);
        }
    }

    #[test]
    fn an_id_with_a_dot_hides_no_difference() {
        let two = BASE.replace("[[signal]]\nid = \"shaft\"", "[[signal]]\nid = \"shaft.source\"\nsource = { kind = \"health\", vital = \"x\" }\n[[signal]]\nid = \"shaft\"");
        let rows = of(&two).differences(&of(BASE));
        let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(keys.len(), 3, "{keys:?}");
        assert!(keys.iter().all(|key| key.starts_with("signal.\"shaft.source\".")), "{keys:?}");
    }

    #[test]
    fn an_edited_profile_is_another_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let shipped = include_str!("../../../deploy/profiles/generic-file-record.toml");
        let with = |text: &str| {
            std::fs::write(dir.path().join("generic-file-record.toml"), text).unwrap();
            let own = format!("name = \"cell-4\"\nprofiles = [\"{}\"]", dir.path().display());
            of(&BASE.replacen("name = \"cell-4\"", &own, 1))
        };
        let old = of(BASE);
        assert_eq!(with(shipped).digest(), old.digest(), "where a profile lies does not count");
        let new = with(&shipped.replace("tool_ms = 10000", "tool_ms = 20000"));
        let rows: Vec<String> = old.differences(&new).iter().map(ToString::to_string).collect();
        assert!(rows.len() == 1 && rows[0].starts_with("profile.generic-file-record."), "{rows:?}");
        assert!(rows[0].ends_with("tool_ms: 10000 -> 20000"), "{rows:?}");
    }

    #[test]
    fn the_written_form_is_read_back_and_runs_as_the_files_would() {
        let config = parse(&[BASE]);
        let read = Effective::read(config.effective.bytes()).unwrap();
        assert_eq!(read, config.effective);
        let again = Config::of_effective(&read, Path::new("/etc/headgate")).unwrap();
        assert_eq!(again.effective, config.effective);
        let (a, b) = (&again.plcs[0], &config.plcs[0]);
        assert_eq!((&a.routes[0].allow, &a.routes[0].update), (&b.routes[0].allow, &b.routes[0].update));
        assert_eq!(again.signals[0].input, config.signals[0].input);
    }

    #[test]
    fn the_form_is_frozen() {
        let text = "schema = 1\n[gateway]\nname = \"a\"\n[tpm]\ntcti = \"device:/dev/tpmrm0\"\npcrs = [7, 0]\n[soak]\nlasts_s = 60\n";
        let expected = r#"{"config":{"gateway":{"name":"a"},"soak":{"lasts_s":60},"tpm":{"pcrs":[0,7],"tcti":"device:/dev/tpmrm0"}},"kind":"headgate configuration","profiles":{},"schema":1}"#;
        assert_eq!(String::from_utf8_lossy(of(text).bytes()), expected);
        assert_eq!(float("scale", 0.1).unwrap(), json!({"float": "0.1"}));
        assert!(float("scale", f64::NAN).is_err());
    }

    #[test]
    fn what_is_no_canonical_configuration_is_not_read() {
        let good = String::from_utf8(of(BASE).bytes().to_vec()).unwrap();
        let cases: Vec<(&str, Vec<u8>)> = vec![
            ("nothing", vec![]),
            ("blanks", good.replace(':', ": ").into_bytes()),
            ("another kind", good.replace(KIND, "headgate recipe").into_bytes()),
            ("another schema", good.replace("\"schema\":1}", "\"schema\":2}").into_bytes()),
            ("more than it has", good.replace("\"kind\"", "\"also\":1,\"kind\"").into_bytes()),
            (
                "no table",
                br#"{"config":1,"kind":"headgate configuration","profiles":{},"schema":1}"#.to_vec(),
            ),
            ("deep nesting", vec![b'['; 100_000]),
            ("too large", vec![b' '; MAX_EFFECTIVE + 1]),
        ];
        for (what, bytes) in cases {
            assert!(Effective::read(&bytes).is_err(), "{what}");
        }
        let null = br#"{"config":{"gateway":null},"kind":"headgate configuration","profiles":{},"schema":1}"#;
        assert!(Effective::read(null).unwrap().texts().is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            if let Ok(read) = Effective::read(&bytes) {
                let _ = read.texts();
            }
        }
    }
}
