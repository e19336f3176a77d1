//! Test firmware, signed once, and real proofs for it.

use std::sync::{Arc, OnceLock};

use ed25519_dalek::{Signer, SigningKey};
use firmware_verifier::identity::{Product, Slot};
use firmware_verifier::signature::SignatureFile;
use firmware_verifier::trust::{Anchor, KeyKind, PublicKey, Scope, TrustStore};
use firmware_verifier::{Digest, Gauntlet, Request, Verdict};
use gateway::protocol::modbus::profile::Profile;
use gateway::sim::Kind;
use gateway::transfer::image::{Image, ImageError, Released, Warrant};
use hal::clock::Wall;

use super::random::Random;

/// One build of a firmware.
#[derive(Debug)]
pub struct Build {
    pub bytes: Vec<u8>,
    pub digest: Digest,
    signature: [u8; 64],
}

impl Build {
    fn new(bytes: Vec<u8>) -> Arc<Build> {
        let signature = key().sign(&bytes).to_bytes();
        Arc::new(Build { digest: Digest::of(&bytes), bytes, signature })
    }

    /// Walks the gauntlet: the only way to a proof.
    pub fn release(self: &Arc<Build>) -> Released {
        let request = Request {
            slot: Slot::new("bench").expect("a good name"),
            product: Product::new("acme", "px").expect("good names"),
            identity: None,
            signature: Some(SignatureFile::parse(&self.signature).expect("64 bytes")),
            policy_epoch: 1,
            state_counter: 1,
            expires: Wall::trusted(i64::MAX),
        };
        let mut gauntlet = Gauntlet::new(request, anchors(), Wall::trusted(1_800_000_000_000));
        gauntlet.absorb(&self.bytes);
        match gauntlet.finish() {
            Verdict::Verified(verified, evidence) => Released {
                warrant: Warrant::Verified(verified),
                evidence,
                image: Box::new(InMemory(self.clone())),
            },
            other => panic!("a good signature was refused: {other:?}"),
        }
    }
}

struct InMemory(Arc<Build>);

impl Image for InMemory {
    fn len(&self) -> u64 {
        self.0.bytes.len() as u64
    }

    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), ImageError> {
        let at = offset as usize;
        let bytes = self.0.bytes.get(at..at + buf.len());
        buf.copy_from_slice(bytes.ok_or_else(|| ImageError(format!("{at}+{} is outside", buf.len())))?);
        Ok(())
    }
}

/// What one history may use: what runs, what may be released, what never is.
#[derive(Debug)]
pub struct Family {
    pub old: Arc<Build>,
    pub good: Vec<Arc<Build>>,
    pub never: Arc<Build>,
}

/// Families of a kind; a history picks one.
pub fn families(kind: Kind) -> &'static [Family] {
    static ALL: OnceLock<Vec<Vec<Family>>> = OnceLock::new();
    let all =
        ALL.get_or_init(|| Kind::ALL.into_iter().map(|k| (0..5).map(|n| family(k, n)).collect()).collect());
    &all[Kind::ALL.iter().position(|k| *k == kind).expect("listed")]
}

fn family(kind: Kind, n: u64) -> Family {
    let mut random = Random::new(n * 31 + kind as u64);
    let len = 300 + random.below(1200) as usize;
    let old = firmware(kind, &mut random, len);
    let more = random.below(300) as usize;
    let a = firmware(kind, &mut random, len + more);
    // The second build shares a beginning with the first, as real versions do.
    let less = random.below(200).min(len as u64 - 300) as usize;
    let mut b = firmware(kind, &mut random, len - less);
    let shared = b.len().min(a.len()) / 2;
    let head = if kind == Kind::WirenBoard { 32 } else { 0 };
    b[head..shared].copy_from_slice(&a[head..shared]);
    // The bad one differs from the first in a single byte.
    let mut never = a.clone();
    let at = head + random.below((a.len() - head) as u64) as usize;
    never[at] ^= 1 << random.below(8);
    Family { old: Build::new(old), good: vec![Build::new(a), Build::new(b)], never: Build::new(never) }
}

fn firmware(kind: Kind, random: &mut Random, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
    if kind == Kind::WirenBoard {
        bytes[..4].copy_from_slice(&(len as u32 - 32).to_le_bytes());
    }
    // A build of equal blocks: a block taken for its neighbour must not go unseen, nor equal ones confuse.
    if random.chance(20) {
        let block = bytes[32..160].to_vec();
        bytes[160..288].copy_from_slice(&block);
    }
    bytes
}

/// The shipped profile of a kind.
pub fn profile(kind: Kind) -> Arc<Profile> {
    static ALL: OnceLock<Vec<Arc<Profile>>> = OnceLock::new();
    let read = |k: Kind| {
        let path = format!("{}/../deploy/profiles/{}.toml", env!("CARGO_MANIFEST_DIR"), k.profile());
        let text = std::fs::read_to_string(path).expect("shipped");
        Arc::new(Profile::parse(&text).expect("good"))
    };
    let all = ALL.get_or_init(|| Kind::ALL.into_iter().map(read).collect());
    all[Kind::ALL.iter().position(|k| *k == kind).expect("listed")].clone()
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn anchors() -> &'static TrustStore {
    static STORE: OnceLock<TrustStore> = OnceLock::new();
    STORE.get_or_init(|| {
        let public = PublicKey::new(KeyKind::Ed25519, key().verifying_key().to_bytes()).expect("a key");
        let scope = Scope::new("acme", &["*"]).expect("a scope");
        let anchor = Anchor::new(public, "bench", scope, Wall::trusted(0)).expect("an anchor");
        TrustStore::with(1, vec![anchor]).expect("one anchor")
    })
}
