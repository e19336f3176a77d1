//! Images at rest, named by their digest.
//!
//! `vault/<hex>.img` is an image, `vault/<hex>.json` what came with it; `quarantine/` holds refused ones
//! the same way. Lying in the vault grants nothing: only a release does. The sidecar is made durable
//! first and the image's rename is the commit, so a sidecar alone is litter that the next start removes.
//!
//! Invariant: no byte leaves the vault that was not hashed on its way in, at opening and on its way out.

mod digest;
mod error;
mod image;
mod intake;
mod quota;
mod sidecar;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hal::store::Store;

pub use digest::{ImageDigest, from_hex, hex};
pub use error::VaultError;
pub use image::{BLOCK, VaultImage};
pub use intake::{ImageIntake, StagedImage};
pub use quota::{IMAGE_LIMIT, Limits, Quota};
use quota::{Kept, Shelf};
pub use sidecar::{Attached, MAX_SIDECAR, Refused, Sidecar};

/// Where an image lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// Images that may be released.
    Vault,
    /// Images that were refused.
    Quarantine,
}

/// One image as a list shows it.
#[derive(Debug)]
pub struct Stored {
    /// Its digest.
    pub digest: ImageDigest,
    /// Its size in bytes.
    pub size: u64,
    /// What came with it.
    pub sidecar: Result<Sidecar, VaultError>,
}

/// The vault and the quarantine. Clones are the same vault.
#[derive(Debug, Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    limits: Limits,
    shelves: Mutex<Shelves>,
}

#[derive(Debug, Default)]
struct Shelves {
    vault: Shelf,
    quarantine: Shelf,
    /// Bytes of unfinished intakes.
    in_flight: u64,
}

impl Vault {
    /// The directories its store must have.
    pub const DIRS: &'static [&'static str] = &[Area::Vault.dir(), Area::Quarantine.dir()];

    /// Opens the vault and removes sidecars that a crash left without their image.
    pub fn open(store: Store, limits: Limits) -> Result<Vault, VaultError> {
        let shelves = Shelves {
            vault: survey(&store, Area::Vault)?,
            quarantine: survey(&store, Area::Quarantine)?,
            in_flight: 0,
        };
        Ok(Vault { inner: Arc::new(Inner { store, limits, shelves: Mutex::new(shelves) }) })
    }

    /// Starts taking in an image of at most `limit` bytes. [`VaultError::TooLarge`] when that is more than
    /// [`IMAGE_LIMIT`], before anything is read.
    pub fn intake(&self, limit: u64) -> Result<ImageIntake, VaultError> {
        if limit > IMAGE_LIMIT {
            return Err(VaultError::too_large(limit));
        }
        ImageIntake::new(self.clone(), limit)
    }

    /// Opens an image for delivery after hashing the whole of it.
    pub fn image(&self, digest: &ImageDigest) -> Result<VaultImage, VaultError> {
        self.open_in(Area::Vault, digest)
    }

    /// Proves that an image is here and whole, by hashing it.
    pub fn prove(&self, digest: &ImageDigest) -> Result<StagedImage, VaultError> {
        let image = self.image(digest)?;
        Ok(StagedImage::new(*digest, image.size(), true))
    }

    /// What came with an image.
    pub fn sidecar(&self, area: Area, digest: &ImageDigest) -> Result<Sidecar, VaultError> {
        self.size_of(area, digest)?;
        Sidecar::read(self.store(), area, digest)
    }

    /// Replaces what came with an image, for a caller that has found the new one good.
    pub fn replace_sidecar(&self, digest: &ImageDigest, sidecar: &Sidecar) -> Result<(), VaultError> {
        let shelves = self.lock();
        if !shelves.vault.images.contains_key(digest) {
            return Err(VaultError::Missing { digest: *digest });
        }
        Ok(self.store().write_atomic(&Area::Vault.sidecar(digest), &sidecar.to_json(digest)?)?)
    }

    /// Everything in an area, by digest.
    pub fn list(&self, area: Area) -> Vec<Stored> {
        let images = self.lock().shelf(area).images.clone();
        let stored = |(digest, kept): (ImageDigest, Kept)| Stored {
            digest,
            size: kept.len,
            sidecar: Sidecar::read(self.store(), area, &digest),
        };
        images.into_iter().map(stored).collect()
    }

    /// Copies an image out, block by block as it is found good.
    pub fn export(&self, area: Area, digest: &ImageDigest, out: &mut dyn Write) -> Result<(), VaultError> {
        self.open_in(area, digest)?.export(out)
    }

    /// Removes an image. The caller sees to it that no release or open delivery names it.
    pub fn remove(&self, area: Area, digest: &ImageDigest) -> Result<(), VaultError> {
        let mut shelves = self.lock();
        if !shelves.shelf(area).images.contains_key(digest) {
            return Err(VaultError::Missing { digest: *digest });
        }
        self.take_away(&mut shelves, area, digest)
    }

    /// Moves an image that was refused after all out of the vault. As with [`Vault::remove`], nothing
    /// may name it any more.
    pub fn quarantine(&self, digest: &ImageDigest, why: Refused) -> Result<(), VaultError> {
        let mut shelves = self.lock();
        let Some(kept) = shelves.vault.images.get(digest).copied() else {
            return Err(VaultError::Missing { digest: *digest });
        };
        let at = why.at.ms;
        let sidecar = Sidecar::read(self.store(), Area::Vault, digest).unwrap_or_default();
        let sidecar = Sidecar { refused: Some(why), ..sidecar }.to_json(digest)?;
        self.make_room(&mut shelves, digest, kept.len)?;
        self.store().write_atomic(&Area::Quarantine.sidecar(digest), &sidecar)?;
        self.store().rename(&Area::Vault.image(digest), &Area::Quarantine.image(digest))?;
        shelves.vault.images.remove(digest);
        shelves.quarantine.images.insert(*digest, Kept { len: kept.len, at });
        self.store().remove(&Area::Vault.sidecar(digest))?;
        Ok(())
    }

    /// Bytes and number of the images in an area.
    pub fn usage(&self, area: Area) -> Quota {
        let shelves = self.lock();
        let shelf = shelves.shelf(area);
        Quota { bytes: shelf.bytes(), images: shelf.images.len() }
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Counts `bytes` of an intake against the quota.
    fn count_in(&self, bytes: u64) -> Result<(), VaultError> {
        let mut shelves = self.lock();
        let all = shelves.in_flight.saturating_add(bytes);
        shelves.vault.check(self.inner.limits.vault, 0, all)?;
        shelves.in_flight = all;
        Ok(())
    }

    fn count_out(&self, bytes: u64) {
        let mut shelves = self.lock();
        shelves.in_flight = shelves.in_flight.saturating_sub(bytes);
    }

    /// Whether `bytes` more leave the disk the room that is kept free.
    fn check_room(&self, bytes: u64) -> Result<(), VaultError> {
        let (free, keep_free) = (self.store().free()?, self.inner.limits.keep_free);
        if free < keep_free.saturating_add(bytes) {
            return Err(VaultError::DiskFull { free, keep_free });
        }
        Ok(())
    }

    fn admit(
        &self,
        mut file: hal::store::Intake,
        digest: ImageDigest,
        sidecar: &Sidecar,
    ) -> Result<StagedImage, VaultError> {
        let len = file.size();
        let json = sidecar.to_json(&digest)?;
        file.sync()?;
        let mut shelves = self.lock();
        let already = shelves.vault.images.contains_key(&digest);
        if !already {
            shelves.vault.check(self.inner.limits.vault, 1, 0)?;
        }
        if !already || Sidecar::read(self.store(), Area::Vault, &digest).is_err() {
            self.store().write_atomic(&Area::Vault.sidecar(&digest), &json)?;
        }
        // Also over an image that is there: should its bytes have been damaged, this mends it.
        file.commit(&Area::Vault.image(&digest))?;
        shelves.vault.images.insert(digest, Kept { len, at: 0 });
        Ok(StagedImage::new(digest, len, already))
    }

    fn admit_refused(
        &self,
        mut file: hal::store::Intake,
        digest: ImageDigest,
        sidecar: &Sidecar,
        why: Refused,
    ) -> Result<(), VaultError> {
        let kept = Kept { len: file.size(), at: why.at.ms };
        let json = Sidecar { refused: Some(why), ..sidecar.clone() }.to_json(&digest)?;
        file.sync()?;
        let mut shelves = self.lock();
        self.make_room(&mut shelves, &digest, kept.len)?;
        self.store().write_atomic(&Area::Quarantine.sidecar(&digest), &json)?;
        file.commit(&Area::Quarantine.image(&digest))?;
        shelves.quarantine.images.insert(digest, kept);
        Ok(())
    }

    /// Drops the oldest refused images until one of `len` bytes fits.
    fn make_room(&self, shelves: &mut Shelves, coming: &ImageDigest, len: u64) -> Result<(), VaultError> {
        let quota = self.inner.limits.quarantine;
        Shelf::default().check(quota, 1, len)?; // or it would drop them all for nothing
        while !shelves.quarantine.images.contains_key(coming) {
            match (shelves.quarantine.check(quota, 1, len), shelves.quarantine.oldest()) {
                (Err(_), Some(oldest)) => self.take_away(shelves, Area::Quarantine, &oldest)?,
                _ => break,
            }
        }
        Ok(())
    }

    /// Image first: what remains after a cut is a sidecar alone.
    fn take_away(&self, shelves: &mut Shelves, area: Area, digest: &ImageDigest) -> Result<(), VaultError> {
        self.store().remove(&area.image(digest))?;
        shelves.shelf_mut(area).images.remove(digest);
        self.store().remove(&area.sidecar(digest))?;
        Ok(())
    }

    fn open_in(&self, area: Area, digest: &ImageDigest) -> Result<VaultImage, VaultError> {
        let file = self.store().open_file(&area.image(digest))?;
        VaultImage::open(file.ok_or(VaultError::Missing { digest: *digest })?, *digest)
    }

    fn size_of(&self, area: Area, digest: &ImageDigest) -> Result<u64, VaultError> {
        let kept = self.lock().shelf(area).images.get(digest).copied();
        kept.map(|kept| kept.len).ok_or(VaultError::Missing { digest: *digest })
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        // The shelves are changed after the disk was, each by one call: a panic leaves them usable.
        self.inner.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Area {
    const fn dir(self) -> &'static str {
        match self {
            Area::Vault => "vault",
            Area::Quarantine => "quarantine",
        }
    }

    fn image(self, digest: &ImageDigest) -> String {
        format!("{}/{}{IMAGE}", self.dir(), hex(digest))
    }

    fn sidecar(self, digest: &ImageDigest) -> String {
        format!("{}/{}{SIDECAR}", self.dir(), hex(digest))
    }
}

impl Shelves {
    fn shelf(&self, area: Area) -> &Shelf {
        match area {
            Area::Vault => &self.vault,
            Area::Quarantine => &self.quarantine,
        }
    }

    fn shelf_mut(&mut self, area: Area) -> &mut Shelf {
        match area {
            Area::Vault => &mut self.vault,
            Area::Quarantine => &mut self.quarantine,
        }
    }
}

/// Finds the images of an area and removes sidecars that have none. Other files are left alone.
fn survey(store: &Store, area: Area) -> Result<Shelf, VaultError> {
    let mut shelf = Shelf::default();
    let entries = store.list(area.dir())?;
    let named =
        |suffix| entries.iter().filter_map(move |e| Some((from_hex(e.file.strip_suffix(suffix)?)?, e.size)));
    for (digest, len) in named(IMAGE) {
        let refused = Sidecar::read(store, area, &digest).ok().and_then(|sidecar| sidecar.refused);
        shelf.images.insert(digest, Kept { len, at: refused.map_or(0, |why| why.at.ms) });
    }
    for (digest, _) in named(SIDECAR) {
        if !shelf.images.contains_key(&digest) {
            store.remove(&area.sidecar(&digest))?;
        }
    }
    Ok(shelf)
}

const IMAGE: &str = ".img";
const SIDECAR: &str = ".json";
