//! One box takes the place of another: a backup, the leave of the site, and a freshly provisioned TPM.
//!
//! Order: everything is checked; files, database and the anchor in the audit log are written; last the trust store, which
//! remembers that the leave was used, and the TPM's counter with it. A cut before that leaves a box that trusts nobody,
//! and the whole is done again; a cut after it is finished at the next opening of the gate.
//!
//! Not taken over: approvals of boot states (they are for the other TPM), releases and the use of tickets (the other box
//! may have used them after the backup), and deliveries (a person begins them).

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use aws_lc_rs::rand;
use firmware_verifier::Digest;
use firmware_verifier::document::{Document, DocumentError, DocumentId, Moment, Replacement, Signed};
use firmware_verifier::dsse::Envelope;
use firmware_verifier::trust::TrustStore;
use firmware_verifier::trust::store::MAX_STORE;
use hal::clock::Wall;
use hal::store::{Store, StoreError};
use hal::tpm::Provisioned;
use serde_json::json;

use super::backup::unreadable;
use super::failure::Failure;
use super::guard::Share;
use super::message::Answered;
use super::predecessor::{KEY, MAX_KEY};
use super::trust::gate_failure;
use super::{Judge, why};
use crate::audit::checkpoint::{LogKey, Note};
use crate::audit::{self, Kind, Log};
use crate::backup::{Entry, Manifest, Opened, Predecessor, Reader};
use crate::config::Effective;
use crate::config::approved::{APPROVED, NEXT};
use crate::config::effective::MAX_EFFECTIVE;
use crate::state::CASES_LEFT_OUT;
use crate::state::alarm::Kind as Told;
use crate::state::case::CaseNumber;
use crate::state::meta;
use crate::vault::{MAX_SIDECAR, Sidecar};

/// What was taken over.
#[derive(Debug)]
pub struct TakenOver {
    /// For people.
    pub text: String,
    /// Whether approvers had signed its configuration: then that runs from the next start on.
    pub is_approved: bool,
}

/// What of a backup is kept in memory until it is used.
struct Taken {
    trust: TrustStore,
    config: Effective,
}

type Backup = Opened<BufReader<File>>;

/// What a leave says otherwise than it should, in words.
fn differences(found: &Replacement, expected: &Replacement) -> String {
    let Replacement { backup, made, retires, takes_over } = found;
    let parts = [
        ("backup", backup.to_string(), expected.backup.to_string()),
        ("made", made.to_string(), expected.made.to_string()),
        ("box that is retired", retires.to_string(), expected.retires.to_string()),
        ("box that takes its place", takes_over.clone(), expected.takes_over.clone()),
    ];
    let other = parts.iter().filter(|(_, found, expected)| found != expected);
    let words = other.map(|(what, found, expected)| format!("{what}: found {found}, expected {expected}"));
    format!("the leave is for something else: {}", words.collect::<Vec<_>>().join("; "))
}

impl Judge {
    /// What the site has to sign so that this box takes the place of the one that made the backup.
    pub fn draft_replacement(&mut self, from: &Path, reason: &str) -> Result<Answered, Failure> {
        let provisioned = self.provisioned_or_failure()?;
        let mut backup = open(from)?;
        self.fits(backup.manifest(), &provisioned)?;
        backup.check().map_err(|e| unreadable(&e))?;
        let now = self.now();
        if !now.trusted {
            let text = format!("a leave counts for a limited time, and the clock ({now}) is not trusted");
            return Err(Failure::new(firmware_verifier::reasons::CLOCK_UNTRUSTED, text));
        }
        let mut id = [0; DocumentId::LEN];
        rand::fill(&mut id).map_err(|_| Failure::internal("no random numbers"))?;
        let document = Document {
            content: self.expected(&backup, &provisioned)?,
            expires: Moment::new(Wall { ms: now.ms.saturating_add(DRAFT_LIFE_MS), ..now }),
            gateway: self.config.name.clone(),
            id: DocumentId::from_bytes(id),
            issued: Moment::new(now),
            reason: reason.to_owned(),
        };
        let envelope = document.to_envelope().map_err(|e| Failure::usage(e.to_string()))?;
        let document = envelope.to_json().map_err(|e| Failure::internal(e.to_string()))?;
        Ok(Answered::Document { document })
    }

    /// Takes the place of the box that made the backup.
    /// `keep` is given its configuration before anything counts.
    pub fn replace(
        &mut self,
        from: &Path,
        leave: &str,
        keep: impl FnOnce(&Effective) -> Result<(), Failure>,
    ) -> Result<TakenOver, Failure> {
        self.gate_open().map_err(gate_failure)?;
        let (mut trust, now) = (self.trust_copy()?, self.now());
        let mut backup = open(from)?;
        let envelope = Envelope::parse(leave.as_bytes()).map_err(|e| self.no_leave(&e.into()))?;
        let signed = self.leave_for(&envelope, &trust, &backup)?;
        backup.check().map_err(|e| unreadable(&e))?;
        self.afford(Share::Signed)?;
        let taken = self.take_files(&mut backup)?;
        Signed::<Replacement>::satisfies(&envelope, &taken.trust, &self.config.name, now)
            .map_err(|e| self.no_leave(&e))?;
        self.check_old_log(backup.manifest())?;
        trust.take_over(&taken.trust, &signed, now).map_err(|e| Failure::new(e.code(), e.to_string()))?;
        keep(&taken.config)?;
        let owed = self.take_state(backup.manifest(), now)?;
        self.anchor(backup.manifest(), backup.id(), signed.document())?;
        self.tell_owed(&owed);
        let is_approved = taken.trust.config() == Some(taken.config.digest());
        if is_approved {
            self.store.write_atomic(NEXT, taken.config.bytes())?;
        }
        self.write_trust(trust)?;
        self.note(Kind::Trust, "replacement", "the trust store of the box before counts here from now on");
        if is_approved {
            self.store.rename(NEXT, APPROVED)?;
        }
        forget_incoming(&self.store)?;
        Ok(TakenOver { text: words(backup.manifest(), &owed), is_approved })
    }

    /// The leave of the site, if it is for this backup and this box, was not used, and the box trusts nobody yet.
    fn leave_for(
        &mut self,
        envelope: &Envelope,
        trust: &TrustStore,
        backup: &Backup,
    ) -> Result<Signed<Replacement>, Failure> {
        let provisioned = self.provisioned_or_failure()?;
        let signed = Signed::open_with_site(envelope, &provisioned.site_key, &self.config.name, self.now())
            .map_err(|e| self.no_leave(&e))?;
        let id = signed.document().id;
        if trust.used(&id) > 0 {
            return Err(self.no_leave(&DocumentError::Used { id, uses: 1 }));
        }
        if !trust.anchors().is_empty() || trust.since().is_some() {
            let keys = trust.anchors().len();
            let text = format!("this box trusts {keys} keys already, expected a spare that trusts none");
            return Err(self.no_replacement(&text));
        }
        self.fits(backup.manifest(), &provisioned)?;
        let expected = self.expected(backup, &provisioned)?;
        if *signed.content() != expected {
            let text = differences(signed.content(), &expected);
            return Err(self.no_replacement(&text));
        }
        Ok(signed)
    }

    /// What a leave for this backup and this box says.
    fn expected(&self, backup: &Backup, provisioned: &Provisioned) -> Result<Replacement, Failure> {
        let manifest = backup.manifest();
        let (_, retires) = manifest.key().map_err(|e| unreadable(&e))?;
        let ak =
            provisioned.attestation_key().map_err(|e| Failure::new(why::NOT_PROVISIONED, e.to_string()))?;
        Ok(Replacement {
            backup: backup.id(),
            made: manifest.made,
            retires,
            takes_over: ak.name().to_string(),
        })
    }

    /// Whether the backup is of a box of this name, of this site, and not of this very box.
    fn fits(&mut self, manifest: &Manifest, provisioned: &Provisioned) -> Result<(), Failure> {
        let evidence =
            provisioned.evidence_key().map_err(|e| Failure::new(why::NOT_PROVISIONED, e.to_string()))?;
        let text = if manifest.gateway != self.config.name {
            format!("the backup is of gateway {:?}, and this is {:?}", manifest.gateway, self.config.name)
        } else if manifest.site_key != provisioned.site_key.to_pem() {
            "the backup is of another site: its site key is not the one this box was provisioned with".into()
        } else if manifest.evidence_key == evidence.to_pem() {
            "the backup is of this very box, which cannot take its own place".into()
        } else {
            return Ok(());
        };
        Err(self.no_replacement(&text))
    }

    /// Writes down what came with the backup; none of it counts before the trust store does.
    fn take_files(&mut self, backup: &mut Backup) -> Result<Taken, Failure> {
        forget_incoming(&self.store)?;
        let (mut trust, mut config, mut state, mut about) = (None, None, false, None);
        let mut entries = backup.entries().map_err(|e| unreadable(&e))?;
        while let Some((entry, _)) = entries.entry().map_err(|e| unreadable(&e))? {
            match entry {
                Entry::Config => config = Some(all(&mut entries, "configuration", MAX_EFFECTIVE as u64)?),
                Entry::Trust => trust = Some(all(&mut entries, "trust store", MAX_STORE as u64)?),
                Entry::State => {
                    keep(&mut entries, &self.store, "", INCOMING)?;
                    state = true;
                }
                Entry::Receipt(file) => {
                    let dir = super::receipt::DIR;
                    keep(&mut entries, &self.store, dir, &format!("{dir}/{file}"))?;
                }
                Entry::Log(of, file) => {
                    let store = self.predecessor(&of)?;
                    keep(&mut entries, &store, audit::DIR, &format!("{}/{file}", audit::DIR))?;
                }
                Entry::Key(of) => {
                    let key = all(&mut entries, "key", MAX_KEY)?;
                    self.predecessor(&of)?.write_atomic(KEY, &key)?;
                }
                Entry::About(_) => about = Some(all(&mut entries, "what came with an image", MAX_SIDECAR)?),
                Entry::Image(digest) => self.take_over_image(&mut entries, &digest, about.take())?,
            }
        }
        entries.finish().map_err(|e| unreadable(&e))?;
        let missing = |what| unreadable(&crate::backup::BackupError::Missing { what });
        let (trust, config) = (trust.ok_or(missing("trust store"))?, config.ok_or(missing("configuration"))?);
        if !state {
            return Err(missing("state"));
        }
        let bad = |e: &dyn std::fmt::Display| Failure::new(why::BACKUP_UNREADABLE, e.to_string());
        let trust = TrustStore::from_cbor(&trust).map_err(|e| bad(&e))?;
        let config = Effective::read(&config).map_err(|e| bad(&e))?;
        Ok(Taken { trust, config })
    }

    fn take_over_image(
        &self,
        entries: &mut Reader<'_, BufReader<File>>,
        digest: &[u8; 32],
        about: Option<Vec<u8>>,
    ) -> Result<(), Failure> {
        let sidecar: Sidecar =
            about.and_then(|about| serde_json::from_slice(&about).ok()).unwrap_or_default();
        let mut intake = self.vault.intake(crate::vault::IMAGE_LIMIT)?;
        intake.write_from(entries)?;
        let staged = intake.finish(&sidecar)?;
        match staged.digest() == digest {
            true => Ok(()),
            false => Err(Failure::new(why::BACKUP_UNREADABLE, "an image is not what its name says")),
        }
    }

    /// The log of the other box is whole, up to the checkpoint that its backup names.
    fn check_old_log(&self, manifest: &Manifest) -> Result<(), Failure> {
        let (key, id) = manifest.key().map_err(|e| unreadable(&e))?;
        let bad = |e: &dyn std::fmt::Display| {
            Failure::new(why::AUDIT_LOG, format!("the audit log in the backup: {e}"))
                .next("take another copy of the backup, or an older one")
        };
        let name = format!("headgate/{}", self.config.name);
        let key = LogKey::from_spki(&name, &crate::receipt::check::der_of(&key)).map_err(|e| bad(&e))?;
        let seen = manifest.checkpoint.as_deref().map(Note::parse).transpose().map_err(|e| bad(&e))?;
        if let Some(note) = &seen {
            note.verify(&key).map_err(|e| bad(&e))?;
        }
        let store = self.predecessor(&Predecessor::of(id.as_bytes()))?;
        Log::verify(&store, &key, seen.as_ref().map(|note| &note.checkpoint)).map(drop).map_err(|e| bad(&e))
    }

    /// Cases and all that belongs to them, and the record of whose place was taken, in one transaction.
    fn take_state(
        &mut self,
        manifest: &Manifest,
        now: Wall,
    ) -> Result<Vec<(CaseNumber, String, bool)>, Failure> {
        let retired = json!({
            "attestation_key": manifest.attestation_key, "epoch": manifest.epoch,
            "evidence_key": manifest.evidence_key, "made": manifest.made, "retired": now.to_string(),
        });
        let path = self.config.data.join(INCOMING);
        let also = |tx: &crate::state::Tx<'_>| meta::put(tx, RETIRED, retired.to_string().as_bytes());
        Ok(self.db.take_over(&path, now, also)?)
    }

    /// The new log says where the old one ends, so that nobody can end it earlier.
    fn anchor(
        &mut self,
        manifest: &Manifest,
        backup: Digest,
        leave: &Document<Replacement>,
    ) -> Result<(), Failure> {
        let retires = leave.content.retires;
        let ends = manifest.checkpoint.as_deref().unwrap_or("no checkpoint");
        let text = format!(
            "takes the place of the box with evidence key {retires}, attestation key {} and epoch {}, which are retired; its log ends at: {ends}",
            manifest.attestation_key, manifest.epoch
        );
        self.note_with(Kind::Start, "book", &text, None, Some(*Digest::of(ends.as_bytes()).as_bytes()));
        let text = format!("leave {} ({}): backup {backup}, made {}", leave.id, leave.reason, manifest.made);
        self.note_with(Kind::Trust, "replacement", &text, None, Some(*backup.as_bytes()));
        match self.unwritable() {
            Some(refusal) => Err(gate_failure(refusal)),
            None => Ok(()),
        }
    }

    /// Controllers whose old firmware was destroyed when the backup was made.
    fn tell_owed(&mut self, owed: &[(CaseNumber, String, bool)]) {
        for (case, plc, _) in owed.iter().filter(|(_, _, past)| *past) {
            let text = format!(
                "{case}: a delivery was past its point of no return when the backup was made; look at the controller, then deliver again"
            );
            self.raise(Some(plc), why::DELIVERY_UNCONFIRMED, Told::Latched, &text);
        }
    }

    fn no_replacement(&mut self, text: &str) -> Failure {
        self.note_with(Kind::Trust, "replacement", &format!("refused: {text}"), Some(why::REPLACEMENT), None);
        Failure::new(why::REPLACEMENT, text)
    }

    fn no_leave(&mut self, e: &DocumentError) -> Failure {
        self.note_with(Kind::Trust, "replacement", &format!("refused: {e}"), Some(e.code()), None);
        Failure::new(e.code(), e.to_string())
    }
}

/// Removes what a take-over that was cut off has left: done again, it begins anew. SQLite would take a log file that
/// lies beside the database of another backup for that one's.
pub(super) fn forget_incoming(store: &Store) -> Result<(), StoreError> {
    for name in LEFT_OVER {
        if store.open_file(name)?.is_some() {
            store.remove(name)?;
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<Backup, Failure> {
    let file = File::open(path).map_err(|e| {
        Failure::not_found(format!("{}: {e}", path.display()))
            .next("give the file that headgate backup wrote")
    })?;
    Opened::new(BufReader::new(file)).map_err(|e| unreadable(&e))
}

fn all(entries: &mut Reader<'_, BufReader<File>>, what: &'static str, max: u64) -> Result<Vec<u8>, Failure> {
    entries.all(what, max).map_err(|e| unreadable(&e))
}

/// Puts the present entry into a file of the store.
fn keep(
    entries: &mut Reader<'_, BufReader<File>>,
    store: &Store,
    dir: &str,
    name: &str,
) -> Result<(), Failure> {
    let mut intake = store.intake(dir)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = std::io::Read::read(entries, &mut buffer).map_err(|e| unreadable(&e.into()))?;
        if n == 0 {
            return Ok(intake.commit(name)?);
        }
        intake.write(&buffer[..n])?;
    }
}

fn words(manifest: &Manifest, owed: &[(CaseNumber, String, bool)]) -> String {
    let mut out = format!(
        "this box has taken the place of {} as it was at {}\nretired: attestation key {}\n",
        manifest.gateway, manifest.made, manifest.attestation_key
    );
    for (case, plc, past) in owed {
        let what = if *past { "past its point of no return: look at the controller" } else { "ended" };
        out += &format!("{case} for {plc} was under way: {what}\n");
    }
    out += &format!(
        "cases go on {CASES_LEFT_OUT} numbers later; releases and tickets of before do not count: have them given anew\n"
    );
    out
}

/// The database of the other box while it is taken over.
const INCOMING: &str = "incoming.db";
/// Its names on disk: SQLite gives the others.
const LEFT_OVER: [&str; 4] = [INCOMING, "incoming.db-wal", "incoming.db-shm", "incoming.db-journal"];
/// Where the database keeps whose place was taken.
const RETIRED: &str = "retired";
/// How long a draft may be on its way to those who sign it.
const DRAFT_LIFE_MS: i64 = 7 * 86_400_000;
