//! An image on its way into the vault: hashed while it is written, nameless until it is whole.

use std::io::Read;

use aws_lc_rs::digest::{Context, SHA256};

use super::digest::{self, ImageDigest};
use super::{Area, Refused, Sidecar, Vault, VaultError};

/// An image being taken in. Dropped unfinished, it leaves nothing behind.
pub struct ImageIntake {
    vault: Vault,
    file: hal::store::Intake,
    hash: Context, // has no `Debug`, hence none here
    limit: u64,
    in_flight: InFlight,
    /// Size at which the room on the disk is measured next.
    measure_at: u64,
}

/// An image that is whole and durable in the vault. Only the vault makes one, and a release row cannot be
/// written without it, so a release never names an image that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedImage {
    digest: ImageDigest,
    len: u64,
    already: bool,
}

impl StagedImage {
    pub(super) fn new(digest: ImageDigest, len: u64, already: bool) -> StagedImage {
        StagedImage { digest, len, already }
    }

    /// Its digest.
    pub fn digest(&self) -> &ImageDigest {
        &self.digest
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.len
    }

    /// Whether the vault had it before; then the sidecar it had was kept, so that nobody can spoil a
    /// good signature by staging the same image with a bad one.
    pub fn already_there(&self) -> bool {
        self.already
    }
}

impl ImageIntake {
    pub(super) fn new(vault: Vault, limit: u64) -> Result<ImageIntake, VaultError> {
        let file = vault.store().intake(Area::Vault.dir())?;
        let in_flight = InFlight { vault: vault.clone(), bytes: 0 };
        Ok(ImageIntake { vault, file, hash: Context::new(&SHA256), limit, in_flight, measure_at: 0 })
    }

    /// Takes the next bytes. After an error, drop the intake.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), VaultError> {
        let more = bytes.len() as u64;
        let found = self.file.size() + more;
        if found > self.limit {
            return Err(VaultError::TooLarge { what: "the image", found, limit: self.limit });
        }
        self.vault.count_in(more)?;
        self.in_flight.bytes += more;
        if found > self.measure_at {
            self.vault.check_room(more + MEASURE_EVERY)?;
            self.measure_at = found + MEASURE_EVERY;
        }
        self.file.write(bytes)?;
        self.hash.update(bytes);
        Ok(())
    }

    /// Takes everything `reader` has.
    pub fn write_from(&mut self, reader: &mut dyn Read) -> Result<(), VaultError> {
        let mut buf = vec![0; 64 << 10];
        loop {
            match reader.read(&mut buf) {
                Ok(0) => return Ok(()),
                Ok(n) => self.write(&buf[..n])?,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(VaultError::Import { source }),
            }
        }
    }

    /// Bytes taken so far.
    pub fn size(&self) -> u64 {
        self.file.size()
    }

    /// SHA-256 of the bytes taken so far.
    pub fn digest(&self) -> ImageDigest {
        digest::finish(&self.hash.clone().finish())
    }

    /// Puts the image into the vault. On return image and sidecar are durable.
    pub fn finish(self, sidecar: &Sidecar) -> Result<StagedImage, VaultError> {
        let ImageIntake { vault, file, hash, in_flight, .. } = self;
        let digest = digest::finish(&hash.finish());
        let staged = vault.admit(file, digest, sidecar);
        drop(in_flight); // after the image counts as stored: the quota never sees less than there is
        staged
    }

    /// Puts what came, whole or not, into quarantine and says under which digest.
    pub fn refuse(self, sidecar: &Sidecar, why: Refused) -> Result<ImageDigest, VaultError> {
        let ImageIntake { vault, file, hash, in_flight, .. } = self;
        let digest = digest::finish(&hash.finish());
        let outcome = vault.admit_refused(file, digest, sidecar, why);
        drop(in_flight);
        outcome.map(|()| digest)
    }
}

/// Bytes that count against the quota while their intake lives.
#[derive(Debug)]
struct InFlight {
    vault: Vault,
    bytes: u64,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.vault.count_out(self.bytes);
    }
}

/// The free room is measured at the first byte and once for each MiB.
const MEASURE_EVERY: u64 = 1 << 20;
