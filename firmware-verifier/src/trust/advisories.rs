//! Which advisory database is gone by. It lies in the trust store, so that no older one comes back with an old disk.

use hal::clock::Wall;
use serde::{Deserialize, Serialize};

use super::store::TrustStore;
use super::store_error::TrustStoreError;
use crate::digest::Digest;
use crate::document::{AdvisoryRelease, Document, Signed};

/// The database that approvers have signed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstalledAdvisories {
    /// When the newest of its sources came out.
    pub current: Wall,
    /// SHA-256 of its file.
    pub database: Digest,
    /// The first moment at which nobody may go by it any more.
    pub expires: Wall,
    /// When it was given out.
    pub issued: Wall,
}

impl From<&Signed<AdvisoryRelease>> for InstalledAdvisories {
    fn from(signed: &Signed<AdvisoryRelease>) -> InstalledAdvisories {
        let Document { content, expires, issued, .. } = signed.document();
        let (current, database) = (content.current.wall(), content.database);
        InstalledAdvisories { current, database, expires: expires.wall(), issued: issued.wall() }
    }
}

impl InstalledAdvisories {
    /// What decides which of two is the older: the newest source, then when it was given out.
    fn age(&self) -> (i64, i64) {
        (self.current.ms, self.issued.ms)
    }
}

impl TrustStore {
    /// The database that is gone by; `None` before the first.
    pub fn advisories(&self) -> Option<&InstalledAdvisories> {
        self.advisories.as_ref()
    }

    /// Goes by another database: the next generation. One that is older is an error, and nothing has changed.
    pub fn install_advisories(&mut self, signed: &Signed<AdvisoryRelease>) -> Result<(), TrustStoreError> {
        let next = InstalledAdvisories::from(signed);
        if let Some(have) = self.advisories.filter(|have| next.age() < have.age()) {
            return Err(TrustStoreError::OldAdvisories {
                found: next.current,
                issued: next.issued,
                have: have.current,
                have_issued: have.issued,
            });
        }
        self.change(|store| {
            store.advisories = Some(next);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::tests::{GATEWAY, NOW, document, envelope, store};
    use crate::document::{Document, Moment};
    use crate::reasons as r;

    fn signed(current_ms: i64, issued_ms: i64) -> Signed<AdvisoryRelease> {
        let moment = |ms: i64| Moment::new(Wall::trusted(NOW.ms + ms));
        let content = AdvisoryRelease { current: moment(current_ms), database: Digest::of(b"database") };
        let document = Document { issued: moment(issued_ms), ..document(content) };
        Signed::open(&envelope(&document, &[21]), &store(), GATEWAY, NOW).unwrap()
    }

    #[test]
    fn nothing_goes_back_to_older_advisories_and_what_is_installed_is_kept() {
        let mut trust = store();
        let before = trust.to_cbor().unwrap();
        assert_eq!((trust.advisories(), TrustStore::from_cbor(&before).unwrap()), (None, store()));
        trust.install_advisories(&signed(-1000, -500)).unwrap();
        let (generation, installed) = (trust.generation(), *trust.advisories().unwrap());
        for (what, current, issued) in
            [("older sources", -1001, -1), ("the same sources, given out before", -1000, -501)]
        {
            let error = trust.install_advisories(&signed(current, issued)).unwrap_err();
            assert_eq!(error.code(), r::ADVISORIES_OLDER, "{what}: {error}");
            assert_eq!((trust.generation(), trust.advisories()), (generation, Some(&installed)), "{what}");
        }
        assert_eq!(TrustStore::from_cbor(&trust.to_cbor().unwrap()).unwrap(), trust);
        trust.install_advisories(&signed(-1000, -499)).unwrap();
        trust.install_advisories(&signed(-999, -600)).unwrap();
        assert_eq!(trust.generation(), generation + 2);
    }
}
