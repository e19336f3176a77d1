//! What makes a configuration let more pass than another: two people must sign for each of these.
//!
//! Whatever is not known to be harmless weakens: a key that is added to [`Config`] does not compile here before
//! somebody has said which of the two it is. The first configuration of a site weakens nothing.

use std::net::IpAddr;
use std::time::Duration;

use firmware_verifier::PolicyNo;

use super::{Advisories, Config, Plc, Route, Tpm};
use crate::protocol::modbus::profile::Profile;
use crate::shield::allow::{AllowList, Rule};
use crate::transfer::engine::Way;

/// One way in which a configuration is weaker than the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weakening {
    /// The table, or the key.
    pub key: String,
    /// What is weaker, in words.
    pub what: String,
}

impl std::fmt::Display for Weakening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.what)
    }
}

/// Everything in which `new` is weaker than `old`, in the order of the configuration.
pub fn weakens(old: &Config, new: &Config) -> Vec<Weakening> {
    let mut found = Found::default();
    // Every field, so that a new one is decided about here.
    let Config {
        name,
        data,
        socket: _, // where people reach it; who may ask what, the kernel says
        tpm,
        plcs,
        mqtt: _,    // below, as typed
        signals: _, // below, as typed
        buses: _,   // below, as typed
        health,
        soak,
        policy,
        effective,
        standing: _,
        warnings: _,
        needed: _,
        base: _,
    } = old;
    found.changed("gateway.name", name, &new.name, "documents and receipts name another gateway");
    found.changed("gateway.data", data, &new.data, "the state is looked for in another place");
    of_tpm(tpm, &new.tpm, &mut found);
    for plc in plcs {
        let key = format!("plc.{}", plc.slot.as_str());
        match new.plc(plc.slot.as_str()) {
            Some(after) => of_plc(&key, plc, after, &mut found),
            None => found.add(&key, "the controller is no longer behind the gate"),
        }
    }
    found.longer("health.poll_s", *health, new.health);
    if policy.own && policy.policy.digest() != new.policy.policy.digest() {
        found.add("policy", "images are let pass by other rules");
    }
    if policy.until.is_some_and(|until| new.policy.until.is_none_or(|later| later.ms > until.ms)) {
        found.add("policy.expires", "the policy counts for longer");
    }
    if new.soak.lasts < soak.lasts || new.soak.settles > soak.settles {
        found.add("soak", "an update is watched for less time");
    }
    let rows = effective.differences(&new.effective);
    for (table, what) in AS_TYPED {
        let gone = |key: &str| key.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'));
        let mut rows = rows.iter().filter(|row| gone(&row.key) && row.old.is_some());
        if let Some(row) = rows.find(|row| !only_names(&row.key)) {
            found.add(&row.key, what);
        }
    }
    found.0
}

fn of_tpm(old: &Tpm, new: &Tpm, found: &mut Found) {
    let Tpm { tcti: _, pcrs, recheck, site_key } = old; // which TPM it is, its pinned key says
    if let Some(site_key) = site_key.filter(|pinned| new.site_key != Some(*pinned)) {
        found.add("tpm.site_key", &format!("{site_key} is no longer the only site key"));
    }
    if let Some(pcr) = pcrs.iter().find(|pcr| !new.pcrs.contains(pcr)) {
        found.add("tpm.pcrs", &format!("PCR {pcr} no longer counts"));
    }
    found.longer("tpm.recheck_s", Some(*recheck), Some(new.recheck));
}

fn of_plc(key: &str, old: &Plc, new: &Plc, found: &mut Found) {
    let Plc {
        slot: _,
        product,
        version_scheme,
        zone,
        safety,
        enforce,
        routes,
        regime,
        approvals,
        sbom_required,
        policy_no,
        advisories,
        permissive,
    } = old;
    let at = |name: &str| format!("{key}.{name}");
    if *enforce && !new.enforce {
        found.add(&at("mode"), "observe in the place of enforce: everything passes");
    }
    if *safety && !new.safety {
        found.add(&at("class"), "no longer a safety controller: it may be delivered to");
    }
    found.changed(&at("vendor"), product, &new.product, "images of another product are for it");
    if version_scheme.is_some() {
        let what = "older images are told apart otherwise, or no longer";
        found.changed(&at("version_scheme"), version_scheme, &new.version_scheme, what);
    }
    if zone.is_some() {
        found.changed(&at("zone"), zone, &new.zone, "it left its zone");
    }
    if regime.is_some() {
        found.changed(&at("regime"), regime, &new.regime, "it is judged in other regimes");
    }
    if let Some(least) = approvals
        && new.approvals.is_none_or(|now| least.or_more(now) != now)
    {
        found.add(&at("approvals"), "fewer approvers let a release through");
    }
    if *sbom_required && !new.sbom_required {
        found.add(&at("sbom"), "images without a list of their parts are let through");
    }
    if laxness(new.policy_no) > laxness(*policy_no) {
        found.add(&at("policy"), "less follows from the policy's no");
    }
    of_advisories(&at, *advisories, new.advisories, found);
    if permissive.is_some() {
        found.changed(
            &at("permissive"),
            permissive,
            &new.permissive,
            "another word opens it, or none is asked for",
        );
    }
    match (routes.as_slice(), new.routes.as_slice()) {
        ([old], [new]) => of_route(key, old, new, found),
        _ => found.add(&at("route"), "other routes lead to it"),
    }
}

fn of_advisories(at: &impl Fn(&str) -> String, old: Advisories, new: Advisories, found: &mut Found) {
    let Advisories { no, required, max_age_days, min_score } = old;
    if laxness(new.no) > laxness(no) {
        found.add(&at("vulnerabilities"), "less follows from a known hole");
    }
    if required && !new.required {
        found.add(&at("vulnerabilities"), "images pass without an advisory database");
    }
    if new.min_score > min_score {
        found.add(&at("vulnerabilities_min_score"), &format!("{}, was {min_score}", new.min_score));
    }
    let days = |days: Option<u16>| days.map(|days| Duration::from_secs(u64::from(days) * 86_400));
    found.longer(&at("advisories_max_age_days"), days(max_age_days), days(new.max_age_days));
}

/// How much lets through.
fn laxness(no: PolicyNo) -> u8 {
    match no {
        PolicyNo::Reject => 0,
        PolicyNo::Hold => 1,
        PolicyNo::Warn => 2,
    }
}

fn of_route(key: &str, old: &Route, new: &Route, found: &mut Found) {
    let Route {
        update,
        program,
        unit,
        listen,
        target,
        allow,
        in_flight: _, // how fast, not what
        max_stations,
        max_per_address,
        longest_transfer,
        reply: _, // how long a station waits
        poll_every,
    } = old;
    let at = |name: &str| format!("{key}.route.{name}");
    if new.program && !program {
        found.add(&at("class"), "images pass that nobody has signed");
    }
    found.changed(&at("target"), target, &new.target, "another address is behind the gate");
    found.changed(&at("unit"), unit, &new.unit, "another unit is behind the gate");
    if new.listen.ip().is_unspecified() && !listen.ip().is_unspecified() {
        found.add(&at("listen"), "every network of this machine reaches it");
    }
    of_update(&at, update.as_ref(), new.update.as_ref(), found);
    for rule in wider(allow, &new.allow) {
        found.add(&format!("{key}.allow"), &format!("a wider list: {}", rule_words(rule)));
    }
    found.more(&at("max_stations"), *max_stations, new.max_stations);
    found.more(&at("max_per_address"), *max_per_address, new.max_per_address);
    found.longer(&at("transfer_s"), Some(*longest_transfer), Some(new.longest_transfer));
    found.longer(&at("poll_s"), *poll_every, new.poll_every);
}

type Update = (Way, std::sync::Arc<Profile>);

fn of_update(at: &impl Fn(&str) -> String, old: Option<&Update>, new: Option<&Update>, found: &mut Found) {
    let Some((way, profile)) = old else { return }; // it was no update's way; now it has registers that are shut
    let Some((way_now, profile_now)) = new else {
        return found.add(&at("profile"), "its update registers are no longer shut");
    };
    if strength(*way_now) < strength(*way) {
        found.add(&at("way"), "unverified bytes reach the controller");
    }
    let worded = |profile: &Profile| Profile { title: String::new(), ..profile.clone() };
    if worded(profile) != worded(profile_now) {
        found.add(
            &at("profile"),
            &format!("{:?} says otherwise what an update of it is, and what is not", profile_now.id),
        );
    }
}

/// How much a way promises. Both of these let no unverified byte reach the controller.
fn strength(way: Way) -> u8 {
    match way {
        Way::Match | Way::Stage => 2,
    }
}

/// Rules of `new` that let something pass that `old` does not. A rule that only several old ones together allow
/// counts as wider.
fn wider<'a>(old: &'a AllowList, new: &'a AllowList) -> Vec<&'a Rule> {
    let allowed = |rule: &Rule| {
        let stations: Vec<Option<&IpAddr>> = match rule.stations.is_empty() {
            true => vec![None],
            false => rule.stations.iter().map(Some).collect(),
        };
        let functions = (1..=127u8).filter(|f| rule.functions.contains(*f));
        functions.into_iter().all(|function| {
            stations.iter().all(|station| old.rules().iter().any(|o| covers(o, rule, function, *station)))
        })
    };
    new.rules().iter().filter(|rule| !allowed(rule)).collect()
}

/// Whether `old` allows all that `rule` does for this function and station (`None`: every station).
fn covers(old: &Rule, rule: &Rule, function: u8, station: Option<&IpAddr>) -> bool {
    let inside =
        |a: &std::ops::Range<u32>| old.addresses.iter().any(|o| o.start <= a.start && a.end <= o.end);
    old.unit == rule.unit
        && old.functions.contains(function)
        && (old.stations.is_empty() || station.is_some_and(|s| old.stations.contains(s)))
        && (old.addresses.is_empty() || (!rule.addresses.is_empty() && rule.addresses.iter().all(inside)))
}

fn rule_words(rule: &Rule) -> String {
    let functions: Vec<String> =
        (1..=127u8).filter(|f| rule.functions.contains(*f)).map(|f| f.to_string()).collect();
    let span = |a: &std::ops::Range<u32>| format!("{}-{}", a.start, a.end - 1);
    let all = |list: Vec<String>| if list.is_empty() { "all".into() } else { list.join(", ") };
    format!(
        "unit {}, functions {}, addresses {}, stations {}",
        rule.unit,
        functions.join(", "),
        all(rule.addresses.iter().map(span).collect()),
        all(rule.stations.iter().map(ToString::to_string).collect())
    )
}

/// Whether a key of those tables only names something, for people or the broker. The unit id of a source does not.
fn only_names(key: &str) -> bool {
    key == "mqtt.client_id"
        || (key.starts_with("signal.") && key.ends_with(".unit") && !key.contains(".source."))
}

/// What was found so far.
#[derive(Default)]
struct Found(Vec<Weakening>);

impl Found {
    fn add(&mut self, key: &str, what: &str) {
        self.0.push(Weakening { key: key.into(), what: what.into() });
    }

    fn changed<T: PartialEq>(&mut self, key: &str, old: &T, new: &T, what: &str) {
        if old != new {
            self.add(key, what);
        }
    }

    fn more(&mut self, key: &str, old: usize, new: usize) {
        if new > old {
            self.add(key, &format!("{new}, was {old}"));
        }
    }

    /// `None` is never, the longest of all.
    fn longer(&mut self, key: &str, old: Option<Duration>, new: Option<Duration>) {
        match (old, new) {
            (Some(old), Some(new)) if new > old => {
                self.add(key, &format!("{} s, was {} s", new.as_secs_f64(), old.as_secs_f64()));
            }
            (Some(old), None) => self.add(key, &format!("never, was {} s", old.as_secs_f64())),
            _ => {}
        }
    }
}

/// Tables in which whatever is changed or taken away weakens, and why.
const AS_TYPED: &[(&str, &str)] = &[
    ("signal", "a signal that is watched after updates is judged otherwise, or no longer"),
    ("bus", "a bus is judged otherwise, or no longer"),
    ("mqtt", "alarms go somewhere else, or nowhere"),
    ("zone", "a zone asks for something else"),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const OLD: &str = r#"
schema = 1
[gateway]
name = "cell-4"
data = "data"
[tpm]
tcti = "device:/dev/tpmrm0"
pcrs = [0, 2, 4, 7]
recheck_s = 60
site_key = "2222222222222222222222222222222222222222222222222222222222222222"
[policy]
expires = "2027-01-31"
module."site.rego" = """
package headgate
allow if input.image.size > 0
deny contains m if m := input.nothing
"""
[[zone]]
id = "wet-well"
sbom = "required"
vulnerabilities = "hold"
vulnerabilities_min_score = 4.0
advisories_max_age_days = 30
[[plc]]
id = "pump-3"
zone = "wet-well"
approvals = 2
vendor = "acme"
model = "px-200"
version_scheme = "semver"
mode = "enforce"
[[plc.route]]
way = "match"
unit = 1
protocol = "modbus-tcp"
listen = "192.0.2.1:1502"
target = "192.0.2.10:502"
profile = "generic-file-record"
transfer_s = 600
poll_s = 10
[[plc.allow]]
functions = ["reads"]
[[plc.allow]]
functions = [6, 16]
addresses = ["100-109", "110-119"]
stations = ["192.0.2.20", "192.0.2.21"]
[[plc]]
id = "guard"
class = "safety"
vendor = "acme"
model = "sx-1"
mode = "observe"
[[plc.route]]
unit = 1
protocol = "modbus-tcp"
listen = "192.0.2.1:1503"
target = "192.0.2.11:502"
[mqtt]
url = "mqtts://scada.example:8883"
ca = "ca.pem"
[[signal]]
id = "shaft"
plc = "pump-3"
unit = "Hz"
source = { kind = "modbus", target = "192.0.2.30:502", unit = 1, register = 30001, scale = 0.1 }
[soak]
lasts_s = 3600
"#;

    const HOLES: &str = "vulnerabilities = \"hold\"";
    const PIN: &str = "site_key = \"2222222222222222222222222222222222222222222222222222222222222222\"\n";

    fn parse(text: &str) -> Config {
        Config::parse(&[("headgate.toml".into(), text.into())], Path::new("/etc/headgate")).unwrap()
    }

    fn found(from: &str, to: &str) -> Vec<String> {
        assert!(OLD.contains(from), "{from}");
        weakens(&parse(OLD), &parse(&OLD.replacen(from, to, 1))).iter().map(|w| w.key.clone()).collect()
    }

    #[test]
    fn what_weakens_is_found_under_its_key() {
        let guard = &OLD[OLD.find("[[plc]]\nid = \"guard\"").unwrap()..OLD.find("[mqtt]").unwrap()];
        let signal = &OLD[OLD.find("[[signal]]").unwrap()..OLD.find("[soak]").unwrap()];
        let cases: &[(&str, &str, &[&str])] = &[
            ("mode = \"enforce\"", "mode = \"observe\"", &["plc.pump-3.mode"]),
            ("class = \"safety\"\n", "", &["plc.guard.class"]),
            (guard, "", &["plc.guard"]),
            ("name = \"cell-4\"", "name = \"cell-5\"", &["gateway.name"]),
            ("data = \"data\"", "data = \"other\"", &["gateway.data"]),
            ("[0, 2, 4, 7]", "[0, 2, 4, 8]", &["tpm.pcrs"]),
            ("recheck_s = 60", "recheck_s = 61", &["tpm.recheck_s"]),
            (PIN, "", &["tpm.site_key"]),
            ("2222", "2223", &["tpm.site_key"]),
            (
                "zone = \"wet-well\"\n",
                "",
                &[
                    "plc.pump-3.zone",
                    "plc.pump-3.sbom",
                    "plc.pump-3.vulnerabilities",
                    "plc.pump-3.advisories_max_age_days",
                ],
            ),
            ("sbom = \"required\"", "sbom = \"optional\"", &["plc.pump-3.sbom", "zone.wet-well.sbom"]),
            ("sbom = \"required\"\n", "", &["plc.pump-3.sbom", "zone.wet-well.sbom"]),
            ("sbom = \"required\"\n", "sbom = \"required\"\npolicy = \"hold\"\n", &["plc.pump-3.policy"]),
            (
                HOLES,
                "vulnerabilities = \"warn\"",
                &["plc.pump-3.vulnerabilities", "zone.wet-well.vulnerabilities"],
            ),
            (
                "vulnerabilities = \"hold\"\nvulnerabilities_min_score = 4.0\nadvisories_max_age_days = 30\n",
                "",
                &[
                    "plc.pump-3.vulnerabilities",
                    "plc.pump-3.advisories_max_age_days",
                    "zone.wet-well.advisories_max_age_days",
                ],
            ),
            (
                "min_score = 4.0",
                "min_score = 4.1",
                &["plc.pump-3.vulnerabilities_min_score", "zone.wet-well.vulnerabilities_min_score"],
            ),
            (
                "max_age_days = 30",
                "max_age_days = 31",
                &["plc.pump-3.advisories_max_age_days", "zone.wet-well.advisories_max_age_days"],
            ),
            ("input.image.size > 0", "input.image.size > 1", &["policy"]),
            ("expires = \"2027-01-31\"", "expires = \"2027-02-01\"", &["policy.expires"]),
            ("expires = \"2027-01-31\"\n", "", &["policy.expires"]),
            ("expires = \"2027-01-31\"", "expires = \"2027-01-30\"", &[]),
            ("approvals = 2", "approvals = 1", &["plc.pump-3.approvals"]),
            ("approvals = 2\n", "", &["plc.pump-3.approvals"]),
            ("approvals = 2", "approvals = 3", &[]),
            ("model = \"px-200\"", "model = \"px-300\"", &["plc.pump-3.vendor"]),
            ("version_scheme = \"semver\"\n", "", &["plc.pump-3.version_scheme"]),
            ("\"semver\"", "\"dotted\"", &["plc.pump-3.version_scheme"]),
            ("way = \"match\"", "way = \"stage\"", &[]),
            ("way = \"match\"", "way = \"match\"\nclass = \"program\"", &["plc.pump-3.route.class"]),
            (
                "profile = \"generic-file-record\"",
                "profile = \"generic-linear\"",
                &["plc.pump-3.route.profile"],
            ),
            ("target = \"192.0.2.10:502\"", "target = \"192.0.2.12:502\"", &["plc.pump-3.route.target"]),
            (
                "unit = 1\nprotocol",
                "unit = 2\nprotocol",
                &["plc.pump-3.route.unit", "plc.pump-3.allow", "plc.pump-3.allow"],
            ),
            ("listen = \"192.0.2.1:1502\"", "listen = \"0.0.0.0:1502\"", &["plc.pump-3.route.listen"]),
            ("transfer_s = 600", "transfer_s = 601", &["plc.pump-3.route.transfer_s"]),
            ("poll_s = 10", "poll_s = 0", &["plc.pump-3.route.poll_s"]),
            ("poll_s = 10", "poll_s = 11", &["plc.pump-3.route.poll_s"]),
            (
                "poll_s = 10",
                "max_stations = 65",
                &["plc.pump-3.route.max_stations", "plc.pump-3.route.max_per_address"],
            ),
            ("functions = [6, 16]", "functions = [6, 16, 22]", &["plc.pump-3.allow"]),
            ("\"110-119\"", "\"110-120\"", &["plc.pump-3.allow"]),
            ("\"100-109\", \"110-119\"", "\"100-119\"", &["plc.pump-3.allow"]),
            ("addresses = [\"100-109\", \"110-119\"]\n", "", &["plc.pump-3.allow"]),
            ("\"192.0.2.21\"", "\"192.0.2.22\"", &["plc.pump-3.allow"]),
            ("stations = [\"192.0.2.20\", \"192.0.2.21\"]\n", "", &["plc.pump-3.allow"]),
            ("mqtts://scada.example:8883\"\nca = \"ca.pem\"", "mqtt://scada.example:1883\"", &["mqtt.ca"]),
            ("scale = 0.1", "scale = 0.2", &["signal.shaft.source.scale"]),
            ("unit = 1, register", "unit = 2, register", &["signal.shaft.source.unit"]),
            (signal, "", &["signal.shaft.id"]),
            ("lasts_s = 3600", "lasts_s = 60", &["soak"]),
            ("[soak]\nlasts_s = 3600", "[soak]\nlasts_s = 3600\nsettles_s = 40", &["soak"]),
            ("[soak]", "[health]\nenabled = false\n[soak]", &["health.poll_s"]),
        ];
        for (from, to, expected) in cases {
            assert_eq!(found(from, to), *expected, "{from:?} -> {to:?}");
        }
    }

    #[test]
    fn what_is_as_strict_or_stricter_weakens_nothing() {
        let new_plc = "[[plc]]\nid = \"new\"\nvendor = \"acme\"\nmodel = \"px\"\nmode = \"observe\"\n[[plc.route]]\n\
                       unit = 1\nprotocol = \"modbus-tcp\"\nlisten = \"0.0.0.0:1504\"\ntarget = \"192.0.2.12:502\"\n[soak]";
        let cases = [
            ("model = \"sx-1\"", "model = \"sx-1\"\nversion_scheme = \"date\""),
            ("mode = \"observe\"", "mode = \"enforce\""),
            ("[0, 2, 4, 7]", "[0, 2, 4, 7, 8]"),
            ("recheck_s = 60", "recheck_s = 5"),
            ("listen = \"192.0.2.1:1502\"", "listen = \"192.0.2.1:1509\""),
            ("transfer_s = 600", "transfer_s = 60"),
            ("poll_s = 10", "poll_s = 1\nin_flight = 8\nreply_ms = 2000"),
            ("poll_s = 10", "max_stations = 4"),
            ("functions = [6, 16]", "functions = [6]"),
            ("\"110-119\"", "\"112-114\""),
            ("functions = [\"reads\"]", "functions = [3]\nstations = [\"192.0.2.99\"]"),
            ("\"192.0.2.20\", ", ""),
            ("ca = \"ca.pem\"", "ca = \"ca.pem\"\nclient_id = \"x\""),
            ("ca = \"ca.pem\"", "ca = \"ca.pem\"\ncertificate = \"tpm\""),
            ("unit = \"Hz\"", "unit = \"rpm\""),
            ("lasts_s = 3600", "lasts_s = 7200"),
            ("[soak]", new_plc),
            ("[[zone]]", "[[zone]]\nid = \"dry-well\"\n[[zone]]"),
        ];
        for (from, to) in cases {
            assert_eq!(found(from, to), [""; 0], "{from:?} -> {to:?}");
        }
    }

    #[test]
    fn an_edited_profile_weakens_unless_it_is_its_title() {
        let dir = tempfile::tempdir().unwrap();
        let shipped = include_str!("../../../deploy/profiles/generic-file-record.toml");
        let with = |from: &str, to: &str| {
            assert!(shipped.contains(from), "{from}");
            std::fs::write(dir.path().join("generic-file-record.toml"), shipped.replacen(from, to, 1))
                .unwrap();
            let own = format!("data = \"data\"\nprofiles = [\"{}\"]", dir.path().display());
            weakens(&parse(OLD), &parse(&OLD.replacen("data = \"data\"", &own, 1)))
        };
        assert!(with("title = \"Image", "title = \"An image").is_empty());
        let found = with("tool_ms = 10000", "tool_ms = 20000");
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().contains("generic-file-record"), "{}", found[0]);
    }

    #[test]
    fn nothing_weakens_itself_and_a_narrower_list_made_wide_again_does() {
        let in_tpm = OLD.replacen("ca = \"ca.pem\"", "ca = \"ca.pem\"\ncertificate = \"tpm\"", 1);
        let out_of_it = weakens(&parse(&in_tpm), &parse(OLD));
        assert!(out_of_it.len() == 1 && out_of_it[0].key == "mqtt.certificate", "{out_of_it:?}");
        assert_eq!(weakens(&parse(OLD), &parse(OLD)), []);
        let narrow = OLD.replacen("functions = [6, 16]", "functions = [6]", 1);
        assert_eq!(weakens(&parse(&narrow), &parse(OLD)).len(), 1);
    }
}
