//! The trust store on disk: sealed with the TPM's key, never older than the TPM's counter says.

use aws_lc_rs::rand;
use firmware_verifier::reasons as of_images;
use firmware_verifier::trust::{
    Anchor, Certified, Credential, Crl, Floor, KeyId, Keyless, PublicKey, Revocation, Role, Scope, TrustStore,
};
use hal::clock::Wall;
use hal::tpm::SiteKeyPublic;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::guard::Share;
use super::message::{Answered, Named};
use super::rows::{AnchorRow, FloorRow, ListRow, RevokedRow, TrustRow};
use super::{Judge, refusal};
use crate::audit::Kind;
use crate::reasons as why;
use crate::state::meta;
use crate::transfer::event::Refusal;

impl Judge {
    /// Reads the trust store with the unsealed key. `headgate init` has written the first one: a file that is not
    /// there was taken away.
    pub(super) fn load_trust(&mut self, key: &Zeroizing<[u8; 32]>) -> Result<TrustStore, Refusal> {
        let bad =
            |found: String| refusal(why::TRUST_STORE, None, found, "the trust store this gateway sealed");
        let limit = firmware_verifier::trust::seal::MAX_SEALED as u64;
        let sealed = self.store.read(TRUST, limit).map_err(|e| bad(e.to_string()))?;
        let bytes = sealed.ok_or_else(|| bad(format!("{TRUST} is gone: it was deleted")))?;
        if bytes.is_empty() {
            return Err(bad(format!("{TRUST} is empty: it was emptied")));
        }
        let store = TrustStore::unseal(&bytes, key).map_err(|e| bad(e.to_string()))?;
        self.guard(store.generation())?;
        let remembered = self.remembered().map_err(|e| bad(e.to_string()))?;
        if remembered == 0 && store.log().is_some() {
            // Whoever changed trust had a database that remembered it.
            let found = format!("a new database, and a trust store of state {}", store.generation());
            return Err(refusal(why::STATE_DAMAGED, None, found, "the database that this gateway wrote"));
        }
        if remembered != store.generation() {
            self.remember(store.generation()).map_err(|e| bad(e.text))?;
        }
        let held = self.hold_log_against(store, key)?;
        self.tell_untold(&held);
        Ok(held)
    }

    /// The store a gateway begins with, for the counter's present value.
    pub(super) fn first_trust(&mut self, key: &[u8; 32], counter: u64) -> Result<(), Failure> {
        let empty = TrustStore::with(counter, Vec::new()).map_err(|e| Failure::internal(e.to_string()))?;
        self.seal_trust(&empty, key)
    }

    pub(super) fn trust_show(&self) -> Result<Answered, Failure> {
        let store = self.trust().map_err(gate_failure)?;
        let row = |a: &Anchor| AnchorRow {
            id: a.id().to_string(),
            name: a.name().to_string(),
            kind: a.credential().kind().into(),
            signer: match a.credential() {
                Credential::Certified(certified) => Some(certified.signer().to_owned()),
                Credential::Keyless(keyless) => Some(keyless.identity_text().to_owned()),
                Credential::Key(_) => None,
            },
            vendor: a.scope().vendor().to_string(),
            models: a.scope().models().to_vec(),
            role: a.role(),
            issuer: match a.credential() {
                Credential::Keyless(keyless) => Some(keyless.issuer().to_owned()),
                Credential::Key(_) | Credential::Certified(_) => None,
            },
            fingerprint: a.credential().fingerprint().to_hex(),
            valid_from: a.valid_from(),
            valid_until: a.valid_until(),
        };
        let floor = |f: &Floor| FloorRow {
            vendor: f.product().0.into(),
            model: f.product().1.into(),
            value: f.value(),
            raised: f.raised(),
            by: f.by().into(),
        };
        let revoked = |id: String, r: &Revocation| RevokedRow { id, at: r.at, reason: r.reason.clone() };
        Ok(Answered::Trust(Box::new(TrustRow {
            generation: store.generation(),
            bundle: store.bundle(),
            thresholds: store.thresholds().clone(),
            anchors: store.anchors().iter().map(row).collect(),
            floors: store.floors().iter().map(floor).collect(),
            revoked_keys: store.revoked_keys().map(|(id, r)| revoked(id.to_string(), r)).collect(),
            lists: store.crls().map(|list| list_row(store, list)).collect(),
            revoked_digests: store.revoked_digests().map(|(d, r)| revoked(d.to_hex(), r)).collect(),
        })))
    }

    pub(super) fn trust_add(
        &mut self,
        (key, signer): (&[u8], Option<&Named>),
        name: &str,
        (role, vendor, models): (Role, &str, &[String]),
        valid: (Option<Wall>, Option<Wall>),
    ) -> Result<Answered, Failure> {
        let models: Vec<&str> = models.iter().map(String::as_str).collect();
        let anchor = match role {
            Role::Vendor => {
                let credential = credential(key, signer)?;
                Scope::new(vendor, &models).and_then(|scope| Anchor::new(credential, name, scope, self.now()))
            }
            Role::Site | Role::Approver if signer.is_some() => {
                return Err(Failure::usage(format!(
                    "{role} keys are keys; certified signers sign images alone"
                )));
            }
            Role::Site | Role::Approver => Anchor::with_role(role, public_key(key, role)?, name, self.now()),
            Role::Gateway => return Err(Failure::usage("a gateway makes its own key, in its TPM")),
        };
        let anchor = anchor.and_then(|a| a.valid(valid.0, valid.1));
        let anchor = anchor.map_err(|e| Failure::usage(e.to_string()))?;
        let what = match role {
            Role::Vendor => format!("for {vendor} {}", models.join(", ")),
            Role::Site | Role::Approver | Role::Gateway => format!("as {role}"),
        };
        let (id, credential) = (anchor.id(), anchor.credential());
        let text = format!(
            "trusted: key {id} ({name}) {what}: {credential}, fingerprint {}",
            credential.fingerprint()
        );
        let anchor_id = anchor.id();
        let mut store = self.trust_copy()?;
        store.add(anchor).map_err(|e| Failure::new(e.code(), e.to_string()))?;
        let id = anchor_id.to_string();
        self.afford(Share::Shell)?;
        self.write_trust(store)?;
        self.note(Kind::Trust, &id, &text);
        Ok(Answered::Done { text })
    }

    /// Goes by a newer revocation list; what it revokes counts no more from now on.
    pub(super) fn trust_crl(&mut self, list: &[u8]) -> Result<Answered, Failure> {
        let mut store = self.trust_copy()?;
        let list = store.import_crl(list, self.now()).map_err(|e| Failure::new(e.code(), e.to_string()))?;
        let of: Vec<&str> = names_below(&store, &list).collect();
        let text = format!("revocation list of {}, for {}", issued(&list), of.join(", "));
        self.write_trust(store)?;
        self.note(Kind::Trust, &list.authority().to_hex(), &text);
        Ok(Answered::Done { text })
    }

    pub(super) fn trust_remove(&mut self, id: &str) -> Result<Answered, Failure> {
        let id: KeyId = id
            .parse()
            .map_err(|_| Failure::usage(format!("{id:?} is no key id; headgate trust show lists them")))?;
        let mut store = self.trust_copy()?;
        let anchor = store.remove(id).map_err(|e| Failure::new(e.code(), e.to_string()))?;
        self.afford(Share::Shell)?;
        self.write_trust(store)?;
        let text = format!("no longer trusted: key {id} ({})", anchor.name());
        self.note(Kind::Trust, &id.to_string(), &text);
        Ok(Answered::Done { text })
    }

    /// A copy to change. [`TrustStore`] counts its generation up with the change.
    pub(super) fn trust_copy(&self) -> Result<TrustStore, Failure> {
        self.trust().map_err(gate_failure).cloned()
    }

    /// File first, then the counter, then the database: a cut between them is finished by [`Judge::load_trust`].
    /// The log that it names lies on the disk before it does: no cut makes it name entries that are not there.
    pub(super) fn write_trust(&mut self, mut store: TrustStore) -> Result<(), Failure> {
        self.afford(Share::Signed)?;
        let key = match self.key() {
            // The way out is to approve a configuration.
            Err(shut) if shut.code == why::CONFIG_LOST => self.unsealed().map(|(unsealed, _)| unsealed.key),
            other => other,
        };
        let key = key.map_err(gate_failure)?;
        store.remember_log(self.log_head(store.log())?);
        self.write_under(&store, &key)?;
        self.replace_trust(store);
        Ok(())
    }

    pub(super) fn write_under(&mut self, store: &TrustStore, key: &[u8; 32]) -> Result<(), Failure> {
        let before = self.state_counter().map_err(|refusal| {
            gate_failure(refusal).next("nothing was changed: once the TPM answers, give the command again")
        })?;
        if store.generation() != before.saturating_add(1) {
            let found =
                format!("a change to state {}, but the TPM's counter is at {before}", store.generation());
            return Err(Failure::new(why::STATE_COUNTER, found));
        }
        self.seal_trust(store, key)?;
        self.advance_state(before).map_err(|refusal| {
            // It is on disk: the next opening of the gate finishes it, or says why not.
            self.shut_gate(refusal.clone());
            may_have_been_made(gate_failure(refusal), before, store.generation())
        })?;
        self.remember(store.generation())
    }

    fn seal_trust(&mut self, store: &TrustStore, key: &[u8; 32]) -> Result<(), Failure> {
        let mut nonce = [0u8; 12];
        rand::fill(&mut nonce).map_err(|_| Failure::internal("no random numbers"))?;
        let sealed = store.seal(key, nonce).map_err(|e| Failure::internal(e.to_string()))?;
        Ok(self.store.write_atomic(TRUST, &sealed)?)
    }

    pub(super) fn remembered(&self) -> Result<u64, crate::state::StateError> {
        let bytes = meta::get(&self.db.rows(), TRUST_GENERATION)?;
        Ok(bytes.and_then(|b| b.try_into().ok()).map_or(0, u64::from_be_bytes))
    }

    /// Remembers the generation; what was verified under the one before is void.
    fn remember(&mut self, generation: u64) -> Result<(), Failure> {
        self.db.write("remember the trust store", |tx| {
            meta::put(tx, TRUST_GENERATION, &generation.to_be_bytes())?;
            meta::advance_counter(tx)
        })?;
        Ok(())
    }
}

/// A vendor's credential: a key, or who certifies the signer of this name.
pub(crate) fn credential(file: &[u8], signer: Option<&Named>) -> Result<Credential, Failure> {
    let read = match signer {
        None => return public_key(file, Role::Vendor).map(Credential::from),
        Some(Named::Certified(signer)) => Certified::read(file, signer).map(Credential::from),
        Some(Named::Keyless { identity, issuer }) => {
            Keyless::new(file, identity, issuer).map(Credential::from)
        }
    };
    read.map_err(|e| Failure::new(of_images::KEY_FILE_REFUSED, e.to_string()))
}

/// Names of the anchors whose authority issued the list.
fn names_below<'a>(store: &'a TrustStore, list: &'a Crl) -> impl Iterator<Item = &'a str> {
    let below = |anchor: &&Anchor| match anchor.credential() {
        Credential::Certified(pinned) => pinned.authority_id() == *list.authority(),
        Credential::Key(_) | Credential::Keyless(_) => false,
    };
    store.anchors().iter().filter(below).map(Anchor::name)
}

fn list_row(store: &TrustStore, list: &Crl) -> ListRow {
    let of = names_below(store, list).map(str::to_owned).collect();
    ListRow { authority: list.authority().to_hex(), issued: issued(list), of }
}

fn issued(list: &Crl) -> Wall {
    Wall::trusted(i64::try_from(list.issued()).unwrap_or(i64::MAX).saturating_mul(1000))
}

/// A key file; one that signs documents may also be of the kind that approves boot states.
fn public_key(file: &[u8], role: Role) -> Result<PublicKey, Failure> {
    let site = std::str::from_utf8(file).ok().and_then(|text| SiteKeyPublic::from_pem(text).ok());
    match site {
        Some(site) if role != Role::Vendor => Ok(PublicKey::from(&site)),
        _ => PublicKey::parse(file).map_err(|e| Failure::new(e.code(), e.to_string())),
    }
}

/// A gate refusal as the answer to a command.
pub(super) fn gate_failure(refusal: Refusal) -> Failure {
    Failure::new(refusal.code, format!("found {}, expected {}", refusal.found, refusal.expected))
}

/// A change that the TPM's answer to is missing: whoever gave it looks before giving it again.
fn may_have_been_made(failure: Failure, before: u64, after: u64) -> Failure {
    let text = format!("{}; the change is written, and may have been made all the same", failure.text);
    Failure { text, ..failure }.next(format!(
        "once the TPM answers and the gate is open, headgate trust show says generation {after} if it was made, {before} if \
         not; give it again only then"
    ))
}

/// The sealed trust store.
pub(super) const TRUST: &str = "trust.sealed";
const TRUST_GENERATION: &str = "trust-generation";
