//! Everything that could be wrong with the gateway, looked at once and said with what to do about it.
//!
//! Each thing is looked at in one place: what `status` knows is taken from there, and what only the machine knows is
//! asked for here. Looking changes nothing, and nothing here decides about firmware.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use firmware_verifier::trust::{Anchor, Role, TrustStore};
use hal::clock::Wall;
use hal::reason::ReasonCode;
use serde::{Deserialize, Serialize};

use super::Judge;
use super::failure::Failure;
use super::gate::TPM_TIMEOUT;
use super::message::Answered;
use super::rows::{PlcRow, Status};
use crate::reasons as why;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at, e.g. `trust.keys`.
    pub id: String,
    /// How it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What would do; empty where that was found.
    pub expected: String,
    /// What to do; empty where there is nothing to do.
    pub next: String,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, and somebody should look at it.
    Warn,
    /// Does not work.
    Fail,
}

impl Level {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        }
    }
}

impl Check {
    /// As it should be.
    pub fn ok(id: &str, found: impl Into<String>) -> Check {
        Check {
            id: id.into(),
            level: Level::Ok,
            found: found.into(),
            expected: String::new(),
            next: String::new(),
        }
    }

    /// Somebody should look at it.
    pub fn warn(id: &str, found: impl Into<String>, expected: &str, next: &str) -> Check {
        Check { level: Level::Warn, expected: expected.into(), next: next.into(), ..Check::ok(id, found) }
    }

    /// It does not work.
    pub fn fail(id: &str, found: impl Into<String>, expected: &str, next: &str) -> Check {
        Check { level: Level::Fail, ..Check::warn(id, found, expected, next) }
    }

    /// What a reason code says to do.
    pub(super) fn of_code(id: &str, found: impl Into<String>, expected: &str, code: ReasonCode) -> Check {
        Check::fail(id, found, expected, why::find(code).map_or("", |reason| reason.next))
    }
}

impl Judge {
    /// Looks at everything.
    pub(super) fn doctor(&mut self) -> Result<Answered, Failure> {
        let status = self.status()?;
        let mut checks = vec![self.configuration(), gate(&status), self.tpm(), pcrs(&self.config.tpm.pcrs)];
        checks.push(self.boot_state_check());
        checks.push(nv_writes(status.nv_writes));
        checks.push(self.state_check());
        checks.extend(self.clock_check());
        checks.push(self.keys_check());
        checks.push(self.audit_check());
        checks.push(self.files_check());
        checks.extend([self.permissions(), self.space(), clock(self.now())]);
        checks.extend(self.certificate_check());
        checks.extend(self.advisories_check());
        checks.extend(self.broker(&status));
        checks.extend(status.plcs.iter().flat_map(controller));
        checks.push(alarms(&status));
        Ok(Answered::Doctor { running: status.running, checks })
    }

    fn configuration(&self) -> Check {
        const ID: &str = "config.approved";
        const EXPECTED: &str = "the configuration that was approved last";
        match self.config_words() {
            (Ok(()), found) => Check::ok(ID, found),
            (Err(code), found) if code == why::CONFIG_UNAPPROVED => {
                Check { level: Level::Warn, ..Check::of_code(ID, found, EXPECTED, code) }
            }
            (Err(code), found) => Check::of_code(ID, found, EXPECTED, code),
        }
    }

    fn tpm(&self) -> Check {
        const ID: &str = "tpm";
        match self.tpm_or_failure().map(|tpm| tpm.epoch(TPM_TIMEOUT)) {
            Ok(Ok(epoch)) => Check::ok(ID, format!("{} answers, epoch {epoch}", self.config.tpm.tcti)),
            Ok(Err(e)) => Check::of_code(ID, e.to_string(), "a TPM that answers", why::TPM_UNAVAILABLE),
            Err(failure) => Check::of_code(ID, failure.text, "a TPM that answers", why::TPM_UNAVAILABLE),
        }
    }

    fn boot_state_check(&mut self) -> Check {
        const ID: &str = "tpm.boot-states";
        let expected = "an approval of the present boot state";
        match self.boot_states() {
            Ok(Answered::BootStates { epoch, approvals }) => {
                let now =
                    approvals.iter().filter(|a| a.epoch == epoch && a.state == "the present boot state");
                let found = format!(
                    "{} approvals on disk, {} of the present boot state",
                    approvals.len(),
                    now.clone().count()
                );
                match now.count() {
                    0 => Check::of_code(ID, found, expected, why::BOOT_STATE),
                    _ => Check::ok(ID, found),
                }
            }
            Ok(_) => Check::fail(ID, "another answer than asked for", expected, "look at the journal"),
            Err(failure) => {
                Check::of_code(ID, failure.text, expected, failure.code.unwrap_or(why::BOOT_STATE))
            }
        }
    }

    fn state_check(&mut self) -> Check {
        const ID: &str = "tpm.state";
        let generation = self.trust().map(TrustStore::generation);
        match (generation, self.state_counter()) {
            (Ok(state), Ok(counter)) if state == counter => {
                Check::ok(ID, format!("state {state}, where the TPM's counter is"))
            }
            (Ok(state), Ok(counter)) => {
                let found = format!("state {state}, and the TPM's counter at {counter}");
                Check::of_code(ID, found, "the same number", why::STATE_COUNTER)
            }
            (Err(_), Ok(counter)) => Check::warn(
                ID,
                format!("the TPM's counter is at {counter}; the state is sealed"),
                "a gate that is open",
                "see gate above",
            ),
            (_, Err(e)) => Check::of_code(ID, e.found, &e.expected, e.code),
        }
    }

    /// What there is to tell an old disk from a counter that was moved; a TPM that does not answer is told of elsewhere.
    fn clock_check(&self) -> Option<Check> {
        const ID: &str = "tpm.clock";
        let (noted, found) = self.clock_words().ok()?;
        Some(match noted {
            true => Check::ok(ID, found),
            false => Check::warn(
                ID,
                found,
                "a note of the TPM's clock, which tells how old a disk is",
                "a gateway whose gate opens makes one",
            ),
        })
    }

    fn keys_check(&self) -> Check {
        match self.trust() {
            Ok(trust) => keys(trust, self.now()),
            Err(_) => Check::warn(
                "trust.keys",
                "the trust store is sealed",
                "a gate that is open",
                "see gate above",
            ),
        }
    }

    /// Reads all of the log where that does not keep updates waiting.
    fn audit_check(&mut self) -> Check {
        const ID: &str = "audit";
        let expected = "a log that is whole";
        let (size, sealed) = match self.book_state() {
            Ok(state) => state,
            Err(failure) => {
                return Check::of_code(ID, failure.text, expected, failure.code.unwrap_or(why::AUDIT_LOG));
            }
        };
        let whole = match size <= MOST_READ || self.conduits.is_empty() {
            true => self.audit_verify(None).map(|_| "whole"),
            false => Ok("whole at its end (headgate audit verify reads all of it)"),
        };
        let whole = match whole {
            Ok(whole) => whole,
            Err(failure) => return Check::of_code(ID, failure.text, expected, why::AUDIT_LOG),
        };
        let now = self.now();
        let age = sealed.map(|at| Duration::from_millis(now.ms.saturating_sub(at.ms).max(0).unsigned_abs()));
        let found = format!("{size} entries, {whole}");
        match age {
            Some(age) => Check::ok(ID, format!("{found}; last checkpoint {} s ago", age.as_secs())),
            None => Check::warn(
                ID,
                format!("{found}; no checkpoint yet"),
                "a checkpoint that the TPM has signed",
                "a gateway that runs with its gate open makes one within a minute",
            ),
        }
    }

    fn permissions(&self) -> Check {
        const ID: &str = "data.permissions";
        let path = self.config.data.display();
        let own = rustix::process::geteuid().as_raw();
        match std::fs::metadata(&self.config.data) {
            Ok(meta) if meta.mode() & 0o022 != 0 => Check::fail(
                ID,
                format!("{path} can be written by others (mode {:o})", meta.mode() & 0o7777),
                "a folder of its owner alone",
                &format!("chmod 750 {path}"),
            ),
            Ok(meta) if own != 0 && meta.uid() != own => Check::fail(
                ID,
                format!("{path} belongs to user {}, and this is user {own}", meta.uid()),
                "a folder of the user that runs the gateway",
                &format!("chown -R headgate: {path}"),
            ),
            Ok(meta) => {
                Check::ok(ID, format!("{path}, mode {:o}, user {}", meta.mode() & 0o7777, meta.uid()))
            }
            Err(e) => Check::of_code(ID, format!("{path}: {e}"), "a data folder", why::STATE_DAMAGED),
        }
    }

    fn space(&self) -> Check {
        const ID: &str = "data.space";
        let reserve = self.db.has_reserve();
        match self.store.free() {
            Ok(free) => space(free, reserve),
            Err(e) => Check::of_code(ID, e.to_string(), "a disk that answers", why::DISK_FULL),
        }
    }

    /// As the gateway that runs knows it: none where none runs, or no broker is wanted.
    fn broker(&self, status: &Status) -> Option<Check> {
        const ID: &str = "broker";
        let waiting = format!("{} messages wait", status.outbox);
        self.config.mqtt.as_ref().filter(|_| status.running)?;
        Some(match status.alarms.iter().find(|a| a.code == why::BROKER_DOWN && a.standing) {
            Some(alarm) => {
                Check::of_code(ID, format!("{}; {waiting}", alarm.text), "a broker that answers", alarm.code)
            }
            None => Check::ok(ID, waiting),
        })
    }
}

fn gate(status: &Status) -> Check {
    let text = status.gate.text.clone();
    match (status.gate.open, status.gate.code) {
        (true, _) => Check::ok("gate", text),
        (false, code) => Check::of_code("gate", text, "an open gate", code.unwrap_or(why::NOT_READY)),
    }
}

/// What the PCRs of a boot state leave out (TCG PC Client Platform Firmware Profile, table of PCR usage).
fn pcrs(pcrs: &[u8]) -> Check {
    const ID: &str = "tpm.pcrs";
    let without = |any: &[u8]| !pcrs.iter().any(|pcr| any.contains(pcr));
    let parts: [(&[u8], &str); 4] = [
        (&[0], "firmware (PCR 0)"),
        (&[4], "the boot loader (PCR 4)"),
        (&[7], "the state of secure boot (PCR 7)"),
        (
            &[8, 9, 11, 12],
            "kernel, initrd and command line (PCR 8 and 9 with GRUB; 11 and 12 with a unified image)",
        ),
    ];
    let open: Vec<&str> = parts.iter().filter(|(any, _)| without(any)).map(|(_, part)| *part).collect();
    let found = format!("PCRs {pcrs:?}");
    match open.is_empty() {
        true => Check::ok(ID, found),
        false => Check::warn(
            ID,
            format!("{found}, which leave out {}", open.join("; ")),
            "a boot state that covers all that is booted",
            "add PCRs that your boot chain extends to pcrs of [tpm], then headgate init --again; a signed unified \
             kernel image is covered by PCR 4 and 7 alone",
        ),
    }
}

fn nv_writes((used, most): (u64, u64)) -> Check {
    const ID: &str = "tpm.nv-writes";
    let found = format!("{used} of {most} today");
    let expected = "some left";
    match used {
        _ if used >= most => {
            Check::fail(ID, found, expected, "wait for tomorrow: changes of trust are refused until then")
        }
        _ if used * 4 >= most * 3 => {
            Check::warn(ID, found, expected, "make several changes in one: trust bundles take many")
        }
        _ => Check::ok(ID, found),
    }
}

/// Whose keys end soon, or are missing.
fn keys(trust: &TrustStore, now: Wall) -> Check {
    const ID: &str = "trust.keys";
    let until = |a: &Anchor| a.valid_until().map(|until| until.ms.saturating_sub(now.ms));
    let named = |a: &Anchor, what: &str| format!("{} {} ({what})", a.role(), a.name());
    let mut words: Vec<String> = Vec::new();
    for anchor in trust.anchors().iter().filter(|a| trust.revoked_key(a.id()).is_none()) {
        match until(anchor) {
            Some(left) if left <= 0 => words.push(named(anchor, "its time is over")),
            Some(left) if left < SOON_MS => {
                words.push(named(anchor, &format!("ends in {} days", left / DAY_MS)))
            }
            _ => {}
        }
    }
    let count = |role| trust.usable(role, now).count();
    let (vendors, sites, approvers) = (count(Role::Vendor), count(Role::Site), count(Role::Approver));
    for (role, there, need) in [("vendor", vendors, 1), ("site", sites, 1), ("approver", approvers, 2)] {
        if there < need {
            words.push(format!("{there} {role} keys"));
        }
    }
    let found = format!("{vendors} vendor, {sites} site, {approvers} approver keys");
    match words.is_empty() {
        true => Check::ok(ID, found),
        false => Check::warn(
            ID,
            format!("{found}: {}", words.join("; ")),
            "a vendor's key, a site key and two approvers' keys, good for a month and more",
            "headgate trust show; docs/trust.md says how keys are added and rotated",
        ),
    }
}

fn space(free: u64, reserve: bool) -> Check {
    const ID: &str = "data.space";
    let found = format!(
        "{} MiB free, the reserve for alarms is {}",
        free >> 20,
        if reserve { "set aside" } else { "spent" }
    );
    let next = why::find(why::DISK_FULL).map_or("", |reason| reason.next);
    match (free, reserve) {
        (..LEAST_FREE, _) => Check::fail(ID, found, "64 MiB and more", next),
        (_, false) => Check::fail(ID, found, "a reserve", next),
        (..ENOUGH_FREE, _) => Check::warn(ID, found, "512 MiB and more", next),
        _ => Check::ok(ID, found),
    }
}

fn clock(now: Wall) -> Check {
    match now.trusted {
        true => Check::ok("clock", now.to_string()),
        false => Check::fail(
            "clock",
            format!("{now}, which was never set"),
            "a clock that is right",
            "set it, or give it a time source: timedatectl",
        ),
    }
}

fn controller(plc: &PlcRow) -> Vec<Check> {
    let id = format!("plc.{}", plc.id);
    let connected = plc.routes.iter().filter_map(|route| Some((route.target.clone(), route.connected?)));
    let link = |(target, up): (String, bool)| match up {
        true => Check::ok(&id, format!("{target} is connected")),
        false => Check::of_code(
            &id,
            format!("{target} is not connected"),
            "a controller that answers",
            why::CONTROLLER_SILENT,
        ),
    };
    let mut checks: Vec<Check> = connected.map(link).collect();
    if plc.mode == "observe" {
        let next = "headgate conduit learn proposes the list; then mode = \"enforce\"";
        checks.push(Check::warn(&format!("{id}.mode"), "observe: everything passes", "enforce", next));
    }
    if let Some(locked) = &plc.locked {
        let next = "find out why; then headgate plc unlock";
        checks.push(Check::warn(&format!("{id}.lock"), format!("locked after {locked}"), "no lock", next));
    }
    checks
}

fn alarms(status: &Status) -> Check {
    let codes: Vec<String> = status.alarms.iter().map(|a| format!("{} {}", a.source, a.code)).collect();
    match codes.is_empty() {
        true => Check::ok("alarms", "none"),
        false => {
            Check::warn("alarms", codes.join(", "), "none", "headgate alarms list says what each is about")
        }
    }
}

/// Entries that are read in a fraction of a second.
const MOST_READ: u64 = 20_000;
/// What a log and a state need in the worst case until somebody comes.
const LEAST_FREE: u64 = 64 << 20;
/// Room for a few images beside it.
const ENOUGH_FREE: u64 = 512 << 20;
const DAY_MS: i64 = 86_400_000;
/// Time to have a new key made, signed and imported.
const SOON_MS: i64 = 30 * DAY_MS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_boot_state_leaves_out_is_named() {
        assert_eq!(pcrs(&[0, 2, 4, 7, 8, 9]).level, Level::Ok);
        let found = pcrs(&[0, 2, 4, 7]);
        assert!(found.level == Level::Warn && found.found.contains("command line"), "{found:?}");
        assert!(pcrs(&[4, 7, 11]).found.contains("firmware (PCR 0)"));
    }

    #[test]
    fn figures_have_limits_below_which_somebody_is_told() {
        for (used, level) in [(0, Level::Ok), (47, Level::Ok), (48, Level::Warn), (64, Level::Fail)] {
            assert_eq!(nv_writes((used, 64)).level, level, "{used}");
        }
        for (free, reserve, level) in [
            (1 << 30, true, Level::Ok),
            (100 << 20, true, Level::Warn),
            (10 << 20, true, Level::Fail),
            (1 << 30, false, Level::Fail),
        ] {
            assert_eq!(space(free, reserve).level, level, "{free} {reserve}");
        }
        assert_eq!(clock(Wall { ms: 0, trusted: false }).level, Level::Fail);
    }

    #[test]
    fn keys_that_end_soon_or_are_missing_are_named() {
        let now = Wall::trusted(1_800_000_000_000);
        let key = |seed: u8| {
            let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes();
            firmware_verifier::trust::PublicKey::new(firmware_verifier::trust::KeyKind::Ed25519, key).unwrap()
        };
        let anchor = |role, seed, days: Option<i64>| {
            let until = days.map(|days| Wall::trusted(now.ms + days * DAY_MS));
            let scope = firmware_verifier::trust::Scope::new("acme", &["*"]).unwrap();
            let anchor = match role {
                Role::Vendor => Anchor::new(key(seed), &format!("k{seed}"), scope, now),
                _ => Anchor::with_role(role, key(seed), &format!("k{seed}"), now),
            };
            anchor.unwrap().valid(None, until).unwrap()
        };
        let (vendor, site) = (|days| anchor(Role::Vendor, 1, days), anchor(Role::Site, 2, None));
        let approvers = [anchor(Role::Approver, 3, None), anchor(Role::Approver, 4, Some(400))];
        let store = |vendor, approvers: &[Anchor]| {
            TrustStore::with(1, [&[vendor, site.clone()], approvers].concat()).unwrap()
        };
        assert_eq!(keys(&store(vendor(None), &approvers), now).level, Level::Ok);
        let soon = keys(&store(vendor(Some(10)), &approvers), now);
        assert!(soon.found.contains("vendor k1 (ends in 10 days)"), "{soon:?}");
        let over = keys(&store(vendor(Some(-1)), &approvers[..1]), now);
        assert!(
            over.found.contains("its time is over") && over.found.contains("1 approver keys"),
            "{over:?}"
        );
    }

    #[test]
    fn every_check_that_is_not_ok_says_what_to_do() {
        let checks = [
            Check::of_code("gate", "shut", "open", why::TPM_UNAVAILABLE),
            pcrs(&[]),
            nv_writes((64, 64)),
            space(0, false),
            clock(Wall { ms: 0, trusted: false }),
        ];
        for check in checks {
            assert!(check.next.len() > 7 && !check.expected.is_empty(), "{check:?}");
        }
    }
}
