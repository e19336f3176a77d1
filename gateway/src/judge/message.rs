//! What is sent to the judge, and what it answers.

use std::path::PathBuf;

use firmware_verifier::trust::Role;
use hal::clock::Wall;
use hal::reason::ReasonCode;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::rows;
use crate::advisories::DatabaseIntake;
use crate::proxy::pump::News;
use crate::vault::ImageIntake;

/// The way to the judge.
pub type Inbox = tokio::sync::mpsc::Sender<Message>;

/// One piece of mail.
#[expect(clippy::large_enum_variant, reason = "a box for each request saves nothing: the queue is short")]
pub enum Message {
    /// News of conduit number `.0`.
    News(usize, News),
    /// A request of the command line or the web page.
    Ask(Asked, tokio::sync::oneshot::Sender<Result<Answered, Failure>>),
    /// The feed wants what is queued after `.0`.
    Outbox(i64, tokio::sync::oneshot::Sender<Vec<crate::state::outbox::Message>>),
    /// What the signals say.
    Signal(crate::signals::News),
    /// The broker has these messages.
    Sent(Vec<i64>),
    /// The broker came or went.
    Broker(Result<(), String>),
    /// End.
    Stop,
}

/// A request, what came with it, and who asks.
pub struct Asked {
    /// What is asked for.
    pub request: Request,
    /// What came with it.
    pub brought: Brought,
    /// The caller's user id, in words for the audit log.
    pub caller: String,
}

/// What came with a request.
#[derive(Default)]
pub struct Brought {
    /// The image.
    pub image: Option<ImageIntake>,
    /// The list of its parts.
    pub sbom: Option<SbomGiven>,
    /// An advisory database.
    pub database: Option<DatabaseIntake>,
}

/// A list of parts as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SbomGiven {
    /// The file.
    pub file: Vec<u8>,
    /// The signature file beside it.
    pub signature: Option<Vec<u8>>,
}

/// A signer below an authority.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Named {
    /// A name in certificates of an authority (CMS).
    Certified(String),
    /// An identity and who vouches for it (sigstore).
    Keyless {
        /// Mail address or URI.
        identity: String,
        /// The provider.
        issuer: String,
    },
}

/// What a command asks for. Travels over the management socket as one line of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Request {
    /// How is the gateway?
    Status,
    /// Check an image (sent behind this line) for a controller, and keep nothing.
    Verify {
        /// The controller.
        plc: String,
        /// Version, as its bringer says.
        #[serde(default)]
        version: Option<String>,
        /// Security version, as its bringer says.
        #[serde(default)]
        security_version: Option<u64>,
        /// The signature file.
        signature: Option<Vec<u8>>,
    },
    /// Check an image (sent behind this line) and keep it in the vault.
    Stage {
        /// The controller.
        plc: String,
        /// File name, for people.
        name: String,
        /// Version, for people.
        version: Option<String>,
        /// Security version, as its bringer says.
        #[serde(default)]
        security_version: Option<u64>,
        /// The signature file.
        signature: Option<Vec<u8>>,
        /// Leave to keep it although it is below the floor: a DSSE envelope, not spent by it.
        #[serde(default)]
        downgrade: Option<String>,
    },
    /// The document by which approvers vouch for an image that nobody signed.
    VouchDraft {
        /// SHA-256 of the image.
        digest: String,
        /// The controllers that it may go to.
        plcs: Vec<String>,
        /// When the word ends.
        expires: Wall,
        /// Why, for those who sign.
        reason: String,
    },
    /// Countersign such a document for an image (sent behind this line), and keep the image in the vault.
    Countersign {
        /// The controllers that it may go to.
        plcs: Vec<String>,
        /// When the word ends.
        expires: Wall,
        /// File name, for people.
        name: String,
        /// Version, for people.
        version: Option<String>,
        /// Security version, as its bringer says.
        #[serde(default)]
        security_version: Option<u64>,
        /// Copies of the document, each with signatures: DSSE envelopes.
        approvals: Vec<String>,
    },
    /// Keep an image (sent behind this line) although nobody vouches for it, on a break-glass document.
    StageUnverified {
        /// The controller.
        plc: String,
        /// File name, for people.
        name: String,
        /// Version, for people.
        version: Option<String>,
    },
    /// Keep a program (sent behind this line), which nobody signs.
    StageProgram {
        /// The controller.
        plc: String,
        /// File name, for people.
        name: String,
        /// Version, for people.
        version: Option<String>,
    },
    /// Act on a break-glass document.
    BreakGlass {
        /// The DSSE envelope.
        document: String,
    },
    /// The newest break-glass documents.
    TicketList,
    /// Close one; it ends before its time where it is in force.
    TicketClose {
        /// Its number.
        id: String,
        /// Why.
        reason: String,
    },
    /// Everything in the vault and in quarantine.
    VaultList,
    /// Remove an image.
    VaultRemove {
        /// The image.
        digest: String,
    },
    /// Copy an image out of the vault to `to`.
    VaultExport {
        /// The image.
        digest: String,
        /// A new file.
        to: PathBuf,
    },
    /// Release an image.
    Release {
        /// The image.
        digest: String,
        /// The controller.
        plc: String,
        /// The conditions.
        terms: rows::Terms,
        /// Leave to go below the floor: a DSSE envelope.
        #[serde(default)]
        downgrade: Option<String>,
    },
    /// Every release, or those of one image.
    ReleaseList {
        /// The image.
        #[serde(default)]
        digest: Option<String>,
    },
    /// Take a release back.
    Withdraw {
        /// The image.
        digest: String,
        /// The controller.
        plc: String,
    },
    /// Deliver a released image now.
    Deliver {
        /// The image.
        digest: String,
        /// The controller.
        plc: String,
    },
    /// Every release that waits for approvals.
    HeldList,
    /// One of them.
    HeldShow {
        /// `C-000123`.
        case: String,
    },
    /// Its approval, for the approvers to sign.
    HeldDraft {
        /// `C-000123`.
        case: String,
    },
    /// A signed approval.
    HeldApprove {
        /// `C-000123`.
        case: String,
        /// The DSSE envelope.
        approval: String,
    },
    /// Give up a release that waits.
    HeldRefuse {
        /// `C-000123`.
        case: String,
        /// Why.
        reason: String,
    },
    /// The trust store.
    TrustShow,
    /// Add an anchor.
    TrustAdd {
        /// The key file, or what certifies the signer.
        key: Vec<u8>,
        /// Who that is, where `key` is no key of his own.
        #[serde(default)]
        signer: Option<Named>,
        /// A name for people.
        name: String,
        /// What its signatures count for.
        role: Role,
        /// Whose firmware it may sign; `*` for roles that sign none.
        vendor: String,
        /// Which models; one `*` for all.
        models: Vec<String>,
        /// From when.
        from: Option<Wall>,
        /// Until when.
        until: Option<Wall>,
    },
    /// Go by a revocation list of a pinned authority.
    TrustCrl {
        /// The list.
        list: Vec<u8>,
    },
    /// Remove an anchor.
    TrustRemove {
        /// Its id.
        id: String,
    },
    /// Show what a trust bundle changes, and with `yes` change it.
    TrustImport {
        /// The DSSE envelope.
        bundle: String,
        /// Whether it is accepted.
        yes: bool,
    },
    /// The next trust bundle, which revokes one key or image; unsigned.
    TrustRevoke {
        /// Key id or SHA-256.
        what: String,
        /// Why.
        reason: String,
    },
    /// Show what an advisory database (sent behind this line) brings, and with `yes` go by it.
    AdvisoriesImport {
        /// The approvers' leave to go by it: a DSSE envelope.
        document: String,
        /// Whether it is accepted.
        yes: bool,
    },
    /// The advisory database that is gone by.
    AdvisoriesShow,
    /// Install an approval of a boot state.
    TrustApprove {
        /// The approval file.
        approval: String,
    },
    /// A request to approve the boot state as it is now, or as it is foreseen.
    ApprovalRequest {
        /// PCRs that will have other values.
        #[serde(default)]
        pcrs: Vec<(u8, firmware_verifier::Digest)>,
        /// For the epoch after the present one.
        #[serde(default)]
        next_epoch: bool,
    },
    /// The approved boot states.
    BootStates,
    /// Remove an installed approval.
    ForgetBootState {
        /// Its id.
        id: String,
    },
    /// Revoke every approval of the present epoch.
    RevokeBootStates {
        /// Although the gate shuts.
        shut: bool,
    },
    /// The controllers.
    PlcList,
    /// Read a controller's identity now.
    PlcIdentify {
        /// The controller.
        plc: String,
    },
    /// Lift the lock of a controller that changed after an update.
    PlcUnlock {
        /// The controller.
        plc: String,
        /// Why.
        reason: String,
    },
    /// Every signal and field bus as it is now.
    Signals,
    /// Learn a signal or a bus anew.
    SignalLearn {
        /// The signal or bus.
        signal: String,
    },
    /// One case with its story.
    Case {
        /// `C-000123`.
        case: String,
    },
    /// The newest cases.
    Cases,
    /// Standing alarms, or all.
    Alarms {
        /// Cleared ones too.
        all: bool,
    },
    /// Acknowledge an alarm; a latched one is reset by it when its cause is gone.
    AlarmAck {
        /// The controller, or the gateway's name.
        source: String,
        /// The reason code.
        code: ReasonCode,
    },
    /// What differs between a configuration and the approved one.
    ConfigCompare {
        /// Its canonical form.
        document: String,
    },
    /// Approve a configuration.
    ConfigApprove {
        /// The approvers' signatures: a DSSE envelope.
        approval: String,
        /// Its canonical form.
        document: String,
    },
    /// Everything that could be wrong with the gateway.
    Doctor,
    /// The last entries of the audit log.
    AuditList {
        /// How many.
        last: u64,
    },
    /// Check the whole audit log.
    AuditVerify {
        /// A checkpoint of it that was kept elsewhere, which it must continue.
        #[serde(default)]
        against: Option<String>,
    },
    /// Write the audit log into a new folder.
    AuditExport {
        /// The folder.
        to: PathBuf,
    },
    /// Write what another box needs to take the place of this one.
    Backup {
        /// A new file.
        to: PathBuf,
        /// Whether the images of the vault go with it.
        images: bool,
    },
    /// Set a damaged audit log aside and begin another.
    AuditSetAside {
        /// Why.
        reason: String,
    },
    /// What stations were seen doing.
    Learned {
        /// The controller.
        plc: String,
    },
    /// A quote for whoever chose the nonce.
    Attest {
        /// 1 to 32 bytes.
        nonce: crate::attestation::Hex,
    },
    /// Open a challenge that a verifier made for this TPM.
    AnswerChallenge {
        /// The file of `tpm2_makecredential`.
        challenge: Vec<u8>,
    },
    /// A request for a certificate of the key in the TPM.
    CertificateRequest,
    /// Take the certificate that was issued for it into use.
    InstallCertificate {
        /// The chain, in PEM.
        file: Vec<u8>,
    },
    /// The receipt of a case.
    Receipt {
        /// `C-000123`.
        case: String,
    },
    /// The public keys that receipts are checked with.
    ReceiptKeys,
    /// What is on record about a period: transfers, changes that none explains, the state of the log.
    Period {
        /// First moment.
        from: Wall,
        /// First moment after it.
        to: Wall,
    },
}

impl Request {
    /// Whether an image follows the request.
    pub fn carries_image(&self) -> bool {
        use Request as R;
        matches!(
            self,
            R::Verify { .. }
                | R::Stage { .. }
                | R::StageUnverified { .. }
                | R::StageProgram { .. }
                | R::Countersign { .. }
        )
    }
}

/// What came of a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer")]
pub enum Answered {
    /// Done; nothing more to say than this line.
    Done {
        /// For people.
        text: String,
    },
    /// An image passed.
    Verdict(rows::VerdictRow),
    /// How the gateway is.
    Status(Box<rows::Status>),
    /// Images.
    Vault {
        /// Staged.
        images: Vec<rows::ImageRow>,
        /// Refused.
        quarantine: Vec<rows::ImageRow>,
    },
    /// Releases.
    Releases {
        /// Every one.
        releases: Vec<rows::ReleaseRow>,
    },
    /// Releases that wait for approvals.
    Held {
        /// Oldest first.
        held: Vec<super::HeldRow>,
    },
    /// Break-glass documents.
    Tickets {
        /// Newest first.
        tickets: Vec<super::TicketRow>,
    },
    /// The trust store.
    Trust(Box<rows::TrustRow>),
    /// What a trust bundle changes.
    TrustChanges(rows::ChangesRow),
    /// What an advisory database brings.
    AdvisoryImport(Box<rows::AdvisoryImportRow>),
    /// The advisory database that is gone by.
    Advisories(Box<rows::AdvisoriesRow>),
    /// A document to be signed elsewhere.
    Document {
        /// The DSSE envelope, without signatures.
        document: String,
    },
    /// Approved boot states.
    BootStates {
        /// The present epoch.
        epoch: u64,
        /// Those that are installed.
        approvals: Vec<rows::BootRow>,
    },
    /// What `headgate site-key sign` answers, as JSON text.
    ApprovalRequest {
        /// The request.
        request: String,
    },
    /// Controllers.
    Plcs {
        /// Every one.
        plcs: Vec<rows::PlcRow>,
    },
    /// Cases, newest first.
    Cases {
        /// Without their stories unless one was asked for.
        cases: Vec<rows::CaseRow>,
    },
    /// Alarms.
    Alarms {
        /// Newest first.
        alarms: Vec<rows::AlarmRow>,
    },
    /// Signals.
    Signals {
        /// Every one, in the order of the configuration.
        signals: Vec<crate::signals::SignalRow>,
        /// Every field bus, in the order of the configuration.
        #[serde(default)]
        buses: Vec<crate::signals::BusRow>,
    },
    /// A configuration beside the approved one.
    Config(Box<rows::ConfigRow>),
    /// What was looked at, and how it is.
    Doctor {
        /// Whether the gateway that runs says so, or the data folder alone.
        running: bool,
        /// One for each thing.
        checks: Vec<super::doctor::Check>,
    },
    /// Entries of the audit log.
    Audit {
        /// Oldest first.
        entries: Vec<rows::AuditRow>,
        /// The newest checkpoint.
        checkpoint: Option<String>,
    },
    /// The audit log is whole.
    AuditReport(rows::AuditReport),
    /// A quote and what is needed to check it.
    Attestation(Box<crate::attestation::Attestation>),
    /// What was inside a challenge.
    Secret {
        /// As its maker chose it.
        secret: crate::attestation::Hex,
    },
    /// A request for a certificate.
    CertificateRequest {
        /// PKCS #10, in PEM.
        request: String,
    },
    /// The certificate that was installed.
    Certificate(super::CertificateRow),
    /// A receipt, or what there is in its place.
    Receipt(Box<rows::ReceiptRow>),
    /// Public keys.
    Keys {
        /// Signs receipts and checkpoints, in PEM.
        evidence: String,
        /// Signs quotes, in PEM.
        attestation: String,
    },
    /// What is on record about a period.
    Period(Box<rows::PeriodRow>),
    /// Habits.
    Learned {
        /// By function and address.
        habits: Vec<rows::HabitRow>,
    },
}
