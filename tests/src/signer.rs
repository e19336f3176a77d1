//! A software P-256 key in the place of the one in the TPM, to seal audit logs with.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use gateway::audit::Log;
use gateway::audit::checkpoint::LogKey;
use hal::clock::{Mono, Wall};

/// A key made anew.
pub struct Signer(EcdsaKeyPair);

impl Signer {
    /// A key that nobody else has.
    pub fn generate() -> Signer {
        Signer(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("random bytes"))
    }

    /// Its public half, as the key of a log.
    pub fn key(&self) -> LogKey {
        let point = self.0.public_key().as_ref(); // SEC 1 §2.3.3: 04, x, y
        let (x, y) = (point[1..33].try_into().unwrap(), point[33..].try_into().unwrap());
        LogKey::from_coordinates("plant.example/headgate-1", &x, &y).expect("a name")
    }

    /// Has every entry so far covered by a checkpoint.
    pub fn seal(&self, log: &mut Log, at: Wall) {
        log.want_receipt();
        let text = log.pending(Mono(0)).expect("a disk").expect("entries that no checkpoint covers");
        let signature = self.0.sign(&SystemRandom::new(), text.as_bytes()).expect("a key");
        log.sealed(signature.as_ref(), at).expect("its signature");
    }
}
