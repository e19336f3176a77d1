//! Rows of the answers: plain values for people and programs.

use firmware_verifier::Basis;
use firmware_verifier::trust::{Role, Thresholds};
use hal::clock::Wall;
use hal::reason::ReasonCode;
use serde::{Deserialize, Serialize};

use super::failure::EvidenceRow;
use crate::config::{Config, Plc, Route};
use crate::transfer::engine::Way;

/// Conditions of a release.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Terms {
    /// Stations it may come from; empty: any.
    pub stations: Vec<String>,
    /// Change ticket.
    pub ticket: Option<String>,
    /// From when to when.
    pub window: Option<(Wall, Wall)>,
    /// How often.
    pub uses: u32,
    /// Until when; without a window this is the only end.
    pub expires: Option<Wall>,
}

/// A verdict.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VerdictRow {
    /// SHA-256 of the image.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// The controller.
    pub plc: String,
    /// Who signed it; empty where nobody did.
    pub signer: String,
    /// Whether its vendor signed it or the site vouches for it.
    pub basis: Basis,
    /// Who stands behind it and how, in words.
    pub backing: String,
    /// Whether it was kept in the vault.
    pub staged: bool,
    /// What each stage found.
    pub evidence: Vec<EvidenceRow>,
}

/// How the gateway is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub gateway: String,
    /// Its version.
    pub version: String,
    /// Whether it runs, or the answer comes from the data folder alone.
    pub running: bool,
    /// The gate.
    pub gate: super::GateStatus,
    /// The controllers.
    pub plcs: Vec<PlcRow>,
    /// Cases that have not ended.
    pub open_cases: Vec<CaseRow>,
    /// Alarms that stand.
    pub alarms: Vec<AlarmRow>,
    /// Messages waiting for the broker.
    pub outbox: u64,
    /// What the TPM was asked to do since the start: NV increments, signatures, unseals.
    pub tpm_usage: [u64; 3],
    /// Writes to the TPM's memory today, and how many a day may have.
    pub nv_writes: (u64, u64),
    /// How the configuration that runs stands to what was approved, in words.
    #[serde(default)]
    pub configuration: String,
    /// The certificate of the key in the TPM, where one is installed.
    #[serde(default)]
    pub certificate: Option<super::CertificateRow>,
}

impl Status {
    /// How a gateway is whose data folder `headgate init` has not made yet.
    pub(crate) fn before_init(config: &Config) -> Status {
        let text = format!("shut for firmware: no data folder {} yet: headgate init", config.data.display());
        Status {
            gateway: config.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            running: false,
            gate: super::GateStatus { open: false, code: Some(crate::reasons::NOT_PROVISIONED), text },
            plcs: config.plcs.iter().map(|plc| PlcRow::configured(plc, std::iter::empty())).collect(),
            open_cases: Vec::new(),
            alarms: Vec::new(),
            outbox: 0,
            tpm_usage: [0; 3],
            nv_writes: (0, 0),
            configuration: "not approved".into(),
            certificate: None,
        }
    }
}

impl PlcRow {
    /// What the configuration alone says of a controller; `links`: whether each conduit of it that runs is
    /// connected.
    pub(super) fn configured(plc: &Plc, mut links: impl Iterator<Item = bool>) -> PlcRow {
        let way = |way: Way| if way == Way::Match { "match" } else { "stage" };
        let mut route = |r: &Route| RouteRow {
            listen: r.listen.to_string(),
            target: r.target.to_string(),
            way: r.update.as_ref().map(|(w, _)| way(*w).into()),
            profile: r.update.as_ref().map(|(_, p)| p.id.clone()),
            connected: links.next(),
        };
        PlcRow {
            id: plc.slot.as_str().into(),
            vendor: plc.product.vendor().into(),
            model: plc.product.model().into(),
            mode: if plc.enforce { "enforce" } else { "observe" }.into(),
            routes: plc.routes.iter().map(&mut route).collect(),
            locked: None,
            permissive: None,
            identity: None,
            read_at: None,
            changed_outside: None,
            site_vouched: None,
            not_verified: None,
            break_glass: None,
            delivery: None,
        }
    }
}

/// A stored image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImageRow {
    /// SHA-256.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
    /// File name.
    pub name: String,
    /// Version as its bringer said.
    pub version: Option<String>,
    /// Security version as its bringer said.
    #[serde(default)]
    pub security_version: Option<u64>,
    /// Nobody signed it; the site vouches for it.
    #[serde(default)]
    pub site_vouched: bool,
    /// It is everyday logic, which nobody verifies.
    #[serde(default)]
    pub program: bool,
    /// Why it was refused.
    pub refused: Option<(ReasonCode, String)>,
}

/// A release.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReleaseRow {
    /// SHA-256.
    pub digest: String,
    /// The controller.
    pub plc: String,
    /// Uses left.
    pub uses_left: u32,
    /// The conditions.
    pub terms: Terms,
    /// Who signed the image.
    pub signer: String,
}

/// The trust store. Used documents are not shown: nobody can do anything about them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrustRow {
    /// How often it has changed.
    pub generation: u64,
    /// Number of the trust bundle applied last; 0 before the first.
    pub bundle: u64,
    /// How many keys must sign what.
    pub thresholds: Thresholds,
    /// Every anchor.
    pub anchors: Vec<AnchorRow>,
    /// Revocation lists of authorities.
    #[serde(default)]
    pub lists: Vec<ListRow>,
    /// Every security-version floor.
    pub floors: Vec<FloorRow>,
    /// Keys that never count again.
    pub revoked_keys: Vec<RevokedRow>,
    /// Images that are never to be installed again.
    pub revoked_digests: Vec<RevokedRow>,
}

/// The revocation list of an authority.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListRow {
    /// SHA-256 of the authority's name and key.
    pub authority: String,
    /// When it was issued.
    pub issued: Wall,
    /// Names of the signers below that authority.
    pub of: Vec<String>,
}

/// A security-version floor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FloorRow {
    /// The vendor.
    pub vendor: String,
    /// The model, or `*`.
    pub model: String,
    /// The lowest version that passes.
    pub value: u64,
    /// When it was raised last.
    pub raised: Wall,
    /// By which bundle or case.
    pub by: String,
}

/// A revoked key or image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RevokedRow {
    /// Key id or SHA-256.
    pub id: String,
    /// When.
    pub at: Wall,
    /// Why.
    pub reason: String,
}

/// What a trust bundle changes, or has changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChangesRow {
    /// Its sequence number.
    pub sequence: u64,
    /// Whether it was accepted, or only looked at.
    pub applied: bool,
    /// What it takes away, then what it brings.
    pub changes: Vec<ChangeRow>,
}

/// One change of trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRow {
    /// `removed`, `revoked`, `added`, `not-added`, `floor` or `thresholds`.
    pub change: String,
    /// About what: key id, SHA-256, product or role.
    pub subject: String,
    /// What it was and what it is, in words; of a key its fingerprint, what it is for, and its end.
    pub text: String,
}

/// An advisory database that was brought, beside the one that is gone by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdvisoryImportRow {
    /// Whether it was accepted, or only looked at.
    pub applied: bool,
    /// What was brought.
    pub brought: AdvisoryRow,
    /// Who has signed it.
    pub signed_by: Vec<String>,
    /// What is gone by without it.
    pub installed: Option<AdvisoryRow>,
    /// What runs or lies here that has, or may have, a hole by it.
    pub affected: Vec<AffectedRow>,
}

/// The advisory database that is gone by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdvisoriesRow {
    /// Which it is; nothing before the first.
    pub installed: Option<AdvisoryRow>,
    /// Why it cannot be asked.
    pub unreadable: Option<String>,
    /// Why it is too old, in which zone.
    pub stale: Vec<String>,
    /// What runs here and has, or may have, a hole by its version.
    pub affected: Vec<AffectedRow>,
}

/// An advisory database.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdvisoryRow {
    /// SHA-256 of its file.
    pub digest: String,
    /// When its newest source came out.
    pub current: Wall,
    /// How many days ago that was.
    pub age_days: i64,
    /// When it ends that one may go by it.
    pub expires: Wall,
    /// How many holes it tells of; nothing where it cannot be read.
    pub holes: Option<u64>,
    /// How many advisories each source gave, and when the last came out.
    pub sources: Vec<SourceRow>,
    /// How many files it was built without although they were given.
    pub left_out: u32,
}

/// Where advisories came from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SourceRow {
    /// The publisher.
    pub name: String,
    /// How many advisories.
    pub count: u32,
    /// When the last of them came out.
    pub newest: Wall,
}

/// Firmware with a known hole, or with one that nobody can rule out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AffectedRow {
    /// The controller.
    pub plc: String,
    /// `runs`, or `staged` for it.
    pub what: String,
    /// SHA-256 of the image, where it is here.
    pub image: Option<String>,
    /// Its version, where one is known.
    pub version: Option<String>,
    /// The reason.
    pub code: ReasonCode,
    /// Which holes.
    pub text: String,
}

/// A trust anchor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AnchorRow {
    /// Key id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Kind of key, or `x509`.
    pub kind: String,
    /// The signer below an authority, or a sigstore identity.
    #[serde(default)]
    pub signer: Option<String>,
    /// Who vouches for the identity.
    #[serde(default)]
    pub issuer: Option<String>,
    /// What two people compare: SHA-256 of the key in DER, of the authority's certificate, or of the file with sigstore's
    /// keys.
    #[serde(default)]
    pub fingerprint: String,
    /// What its signatures count for.
    pub role: Role,
    /// Vendor it may sign for.
    pub vendor: String,
    /// Models it may sign for.
    pub models: Vec<String>,
    /// From when.
    pub valid_from: Option<Wall>,
    /// Until when.
    pub valid_until: Option<Wall>,
}

/// A configuration beside the approved one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConfigRow {
    /// The gateway that an approval must be for.
    pub gateway: String,
    /// Digest of the one that runs.
    pub runs: String,
    /// Digest of the one approved last; none before the first.
    pub approved: Option<String>,
    /// Digest of the one that was given.
    pub given: String,
    /// Keys in which the given one differs from the approved one.
    pub differs: Vec<String>,
    /// What in it lets more pass than the approved one: two approvers must sign.
    pub weakens: Vec<String>,
}

/// An approved boot state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BootRow {
    /// Its id: the beginning of its file's SHA-256.
    pub id: String,
    /// Which gateway asked, as the file says: the site key's signature does not cover the name.
    pub gateway: String,
    /// The epoch it is for.
    pub epoch: u64,
    /// PCRs it covers.
    pub pcrs: Vec<u8>,
    /// What it is good for now, in words.
    pub state: String,
}

/// A controller.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlcRow {
    /// Id.
    pub id: String,
    /// Vendor.
    pub vendor: String,
    /// Model.
    pub model: String,
    /// `enforce` or `observe`.
    pub mode: String,
    /// Each route: listen, target, way, profile, whether the controller is connected.
    pub routes: Vec<RouteRow>,
    /// Why no update passes: what changed after the last one, and the way back.
    #[serde(default)]
    pub locked: Option<String>,
    /// What its permissive says, where it has one.
    #[serde(default)]
    pub permissive: Option<String>,
    /// What it said of itself last.
    pub identity: Option<String>,
    /// When it said so.
    pub read_at: Option<Wall>,
    /// Since when it is known to have changed outside the gate.
    pub changed_outside: Option<Wall>,
    /// What this gateway let in last, where its vendor did not sign that.
    #[serde(default)]
    pub site_vouched: Option<String>,
    /// What this gateway let in last, where nobody had verified that.
    #[serde(default)]
    pub not_verified: Option<String>,
    /// The break-glass document that is in force.
    #[serde(default)]
    pub break_glass: Option<String>,
    /// A delivery that runs: case, bytes so far, bytes in all.
    pub delivery: Option<(String, u64, u64)>,
}

/// One conduit of a controller.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RouteRow {
    /// Where stations connect.
    pub listen: String,
    /// Where the controller is.
    pub target: String,
    /// `match`, `stage`, or none.
    pub way: Option<String>,
    /// Transfer profile.
    pub profile: Option<String>,
    /// Whether the controller is connected; none while the gateway does not run.
    pub connected: Option<bool>,
}

/// A case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CaseRow {
    /// `C-000123`.
    pub case: String,
    /// The controller.
    pub plc: String,
    /// Where the image came from.
    pub station: String,
    /// The way.
    pub way: String,
    /// When it was opened.
    pub opened: Wall,
    /// SHA-256 of the image, once known.
    pub digest: Option<String>,
    /// `open`, `ready`, `delivering`, `done`, `refused`, `aborted`.
    pub state: String,
    /// Why.
    pub code: Option<ReasonCode>,
    /// What happened.
    pub story: Vec<(Wall, String)>,
}

/// An alarm.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AlarmRow {
    /// Controller, signal or bus, or the gateway's name.
    pub source: String,
    /// The controller that the source is or belongs to.
    #[serde(default)]
    pub plc: Option<String>,
    /// Cause.
    pub code: ReasonCode,
    /// Cause in words.
    pub title: String,
    /// How often.
    pub count: u64,
    /// First time.
    pub first: Wall,
    /// Last time.
    pub last: Wall,
    /// Whether the cause is there, or latched.
    pub active: bool,
    /// Whether a person has seen it.
    pub acknowledged: bool,
    /// Whether it stays until a person acknowledges it.
    pub latched: bool,
    /// Whether the cause is there.
    pub standing: bool,
    /// What happened.
    pub text: String,
    /// What to do.
    pub next: String,
}

/// A learned habit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HabitRow {
    /// Unit id.
    pub unit: u8,
    /// Function code.
    pub function: u8,
    /// First address.
    pub start: u32,
    /// How many.
    pub count: u32,
    /// Who.
    pub station: String,
    /// How often.
    pub seen: u64,
}

/// One entry of the audit log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuditRow {
    /// Its index, from 0.
    pub n: u64,
    /// When.
    pub at: Wall,
    /// What kind of thing happened.
    pub kind: String,
    /// Who.
    pub actor: String,
    /// About what.
    pub subject: String,
    /// In words.
    pub text: String,
    /// The reason, where there is one.
    pub code: Option<ReasonCode>,
    /// SHA-256 of the image, or of what else it is about.
    pub digest: Option<String>,
    /// How often it happened.
    pub count: u64,
}

impl From<&crate::audit::Entry> for AuditRow {
    fn from(entry: &crate::audit::Entry) -> AuditRow {
        let event = &entry.event;
        AuditRow {
            n: entry.n,
            at: event.at,
            kind: event.kind.name().into(),
            actor: event.actor.clone(),
            subject: event.subject.clone(),
            text: event.text.clone(),
            code: event.code,
            digest: event.digest.map(|d| crate::vault::hex(&d)),
            count: event.count,
        }
    }
}

/// The receipt of a case.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReceiptRow {
    /// `C-000123`.
    pub case: String,
    /// The signed file.
    pub signed: Option<String>,
    /// Why it is not signed.
    #[serde(default)]
    pub why: String,
    /// What it would say, where it is not signed.
    #[serde(default)]
    pub statement: Option<serde_json::Value>,
}

/// What is on record about a period; the receipts are asked for one by one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PeriodRow {
    /// Points of the evidence keys of boxes that this one replaced.
    #[serde(default)]
    pub predecessors: Vec<Vec<u8>>,
    /// Transfers that were opened before its end and told of after its begin, oldest first.
    pub transfers: Vec<TransferRow>,
    /// Entries of the audit log about changes that no transfer explains.
    pub outside: Vec<AuditRow>,
    /// Every controller.
    pub plcs: Vec<PlcRow>,
    /// The audit log, read from end to end.
    pub log: AuditReport,
    /// What is no longer kept of the period.
    pub forgotten: Option<String>,
    /// When this was gathered.
    pub now: Wall,
    /// Name of the gateway.
    pub gateway: String,
}

/// A transfer and when it ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TransferRow {
    /// The case.
    pub case: CaseRow,
    /// When the image took effect, for one that did.
    pub landed: Option<Wall>,
}

/// An audit log that was read from end to end and is whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuditReport {
    /// Number of entries.
    pub entries: u64,
    /// Number of checkpoints.
    pub checkpoints: u64,
    /// Entries that no checkpoint covers yet.
    pub beyond: u64,
    /// The newest checkpoint.
    pub checkpoint: Option<String>,
    /// Root of the tree of all entries, in base64.
    pub root: String,
}

impl From<&crate::audit::Report> for AuditReport {
    fn from(report: &crate::audit::Report) -> AuditReport {
        AuditReport {
            entries: report.entries,
            checkpoints: report.checkpoints,
            beyond: report.beyond.end - report.beyond.start,
            checkpoint: report.newest.as_ref().map(|sealed| sealed.note.to_string()),
            root: report.root.to_base64(),
        }
    }
}
