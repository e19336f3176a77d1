//! Backups: what another box needs to take the place of this one, signed by this box's evidence key.
//!
//! Nothing that only this TPM can open goes into it, and nothing that lets firmware pass: approvals of boot states are
//! of this TPM, and releases may have been used by the time the backup is.

use std::io::{self, Read, Write};
use std::path::Path;

use firmware_verifier::Digest;
use firmware_verifier::document::Moment;
use hal::store::{Store, StoreFile};

use super::failure::Failure;
use super::gate::{TPM_TIMEOUT, tpm_refusal};
use super::message::Answered;
use super::trust::gate_failure;
use super::{Judge, why};
use crate::audit::{self, Kind};
use crate::backup::{BackupError, Entry, Manifest, Predecessor, Writer};
use crate::receipt::envelope;
use crate::vault::Area;

impl Judge {
    /// Writes a backup into a new file.
    pub(super) fn backup(&mut self, to: &Path, images: bool) -> Result<Answered, Failure> {
        self.gate_open().map_err(gate_failure)?;
        self.note(Kind::Trust, "backup", &format!("a backup is written to {}", to.display()));
        let checkpoint = self.fresh_checkpoint()?;
        let file = new_private(to)?;
        let written = self.write_backup(io::BufWriter::new(file), checkpoint, images);
        // Whatever came of it, the copy of the database has done its work.
        let removed = self.store.remove(SNAPSHOT);
        let id = written.inspect_err(|_| {
            let _ = std::fs::remove_file(to); // it is ours, and not whole
        })?;
        removed?;
        let text = format!("the backup is {id}");
        self.note_with(Kind::Trust, "backup", &text, None, Some(*id.as_bytes()));
        Ok(Answered::Done {
            text: format!("written: {}\n{text}; docs/replace.md says what it is good for", to.display()),
        })
    }

    fn write_backup(
        &mut self,
        out: io::BufWriter<std::fs::File>,
        checkpoint: Option<String>,
        images: bool,
    ) -> Result<Digest, Failure> {
        let provisioned = self.provisioned_or_failure()?;
        let tpm = self.tpm_or_failure()?.clone();
        let from_tpm = |e: hal::tpm::TpmError| gate_failure(tpm_refusal(&e));
        let evidence = provisioned.evidence_key().map_err(from_tpm)?;
        let id = Digest::of(&evidence.to_der());
        let mut writer = Writer::new(out).map_err(unwritten)?;
        self.put_state(&mut writer)?;
        let me = Predecessor::of(id.as_bytes());
        put_bytes(&mut writer, &Entry::Key(me.clone()), evidence.to_pem().as_bytes())?;
        put_log(&mut writer, &me, &self.store)?;
        for of in self.predecessors() {
            let key = self.predecessor(&of)?.read(super::predecessor::KEY, super::predecessor::MAX_KEY)?;
            put_bytes(&mut writer, &Entry::Key(of.clone()), &key.unwrap_or_default())?;
            put_log(&mut writer, &of, &self.predecessor(&of)?)?;
        }
        if images {
            self.put_images(&mut writer)?;
        }
        let (content, entries) = writer.content();
        let manifest = Manifest {
            attestation_key: provisioned.attestation_key().map_err(from_tpm)?.name().to_string(),
            checkpoint,
            content,
            entries,
            epoch: tpm.epoch(TPM_TIMEOUT).map_err(from_tpm)?,
            evidence_key: evidence.to_pem(),
            gateway: self.config.name.clone(),
            made: Moment::new(self.now()),
            site_key: provisioned.site_key.to_pem(),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        let mut envelope = manifest.to_envelope().map_err(|e| unreadable(&e))?;
        let to_sign = *Digest::of(&envelope.message()).as_bytes();
        let signature = tpm.sign(&provisioned, &self.approvals(), &to_sign, TPM_TIMEOUT).map_err(from_tpm)?;
        envelope
            .attach(&envelope::key_id(&evidence.to_der()), &signature)
            .map_err(|e| Failure::internal(e.to_string()))?;
        let out = writer.finish(&envelope).map_err(|e| unreadable(&e))?;
        out.into_inner().map_err(|e| unwritten(e.into_error()))?.sync_all().map_err(unwritten)?;
        Ok(Digest::of(envelope.payload()))
    }

    /// Configuration, trust store, database and receipts.
    fn put_state<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), Failure> {
        put_bytes(writer, &Entry::Config, self.config.effective.bytes())?;
        let trust = self.trust().map_err(gate_failure)?.to_cbor();
        put_bytes(writer, &Entry::Trust, &trust.map_err(|e| Failure::internal(e.to_string()))?)?;
        self.store.remove(SNAPSHOT)?;
        self.db.snapshot(&self.config.data.join(SNAPSHOT))?;
        put_file(writer, &Entry::State, &self.store, SNAPSHOT)?;
        for file in self.store.list(super::receipt::DIR)? {
            let name = format!("{}/{}", super::receipt::DIR, file.file);
            put_file(writer, &Entry::Receipt(file.file), &self.store, &name)?;
        }
        Ok(())
    }

    fn put_images<W: Write>(&self, writer: &mut Writer<W>) -> Result<(), Failure> {
        for image in self.vault.list(Area::Vault) {
            let about = serde_json::to_vec(&image.sidecar?).map_err(|e| Failure::internal(e.to_string()))?;
            put_bytes(writer, &Entry::About(image.digest), &about)?;
            let name = format!("vault/{}.img", crate::vault::hex(&image.digest));
            put_file(writer, &Entry::Image(image.digest), &self.store, &name)?;
        }
        Ok(())
    }
}

fn put_log<W: Write>(writer: &mut Writer<W>, of: &Predecessor, store: &Store) -> Result<(), Failure> {
    for file in store.list(audit::DIR)? {
        let name = format!("{}/{}", audit::DIR, file.file);
        put_file(writer, &Entry::Log(of.clone(), file.file), store, &name)?;
    }
    Ok(())
}

fn put_bytes<W: Write>(writer: &mut Writer<W>, entry: &Entry, bytes: &[u8]) -> Result<(), Failure> {
    writer.entry(entry, bytes.len() as u64, &mut &*bytes).map_err(unwritten)
}

fn put_file<W: Write>(
    writer: &mut Writer<W>,
    entry: &Entry,
    store: &Store,
    name: &str,
) -> Result<(), Failure> {
    let gone = || Failure::internal(format!("{name} is gone"));
    let file = store.open_file(name)?.ok_or_else(gone)?;
    let len = file.size()?;
    writer.entry(entry, len, &mut InOrder { file, at: 0 }).map_err(unwritten)
}

/// A file of the store from its beginning on.
struct InOrder {
    file: StoreFile,
    at: u64,
}

impl Read for InOrder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(self.at, buffer).map_err(io::Error::other)?;
        self.at += n as u64;
        Ok(n)
    }
}

/// A new file that only its owner can read: a backup says what a site trusts, and how its plant is laid out.
fn new_private(to: &Path) -> Result<std::fs::File, Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    let new = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    new.map_err(|e| {
        Failure::usage(format!("{}: {e}", to.display()))
            .next("name a new file in a folder that the gateway may write to")
    })
}

fn unwritten(e: io::Error) -> Failure {
    match e.kind() {
        io::ErrorKind::StorageFull => Failure::new(why::DISK_FULL, format!("the backup: {e}")),
        _ => Failure::internal(format!("the backup: {e}")),
    }
}

/// What is wrong with a backup, as the answer to a command.
pub(super) fn unreadable(e: &BackupError) -> Failure {
    match e {
        BackupError::Io(e) if e.kind() != io::ErrorKind::UnexpectedEof => {
            Failure::internal(format!("the backup: {e}"))
        }
        _ => Failure::new(why::BACKUP_UNREADABLE, e.to_string()),
    }
}

/// The copy of the database while a backup is written.
const SNAPSHOT: &str = "backup.db";
