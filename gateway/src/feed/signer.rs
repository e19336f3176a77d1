//! Our side of TLS with a key that stays in the TPM: the certificate that was installed, and signatures that the TPM makes.
//!
//! Signing waits for the TPM, at most [`SIGN_TIMEOUT`]: it must not run on a thread that carries anything else.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use hal::tpm::{LocalIdentity, Tpm};
use rustls::client::ResolvesClientCert;
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};

use crate::judge::DeviceKey;

/// Longest wait for one signature; a hardware TPM takes 0.2 s, and a few requests may be before it.
const SIGN_TIMEOUT: Duration = Duration::from_secs(3);

/// What answers the broker's question who we are.
pub(super) fn resolver(own: DeviceKey) -> Result<Arc<dyn ResolvesClientCert>, String> {
    let (identity, chain) = own.ready()?;
    let key = InTpm(Arc::new(Key { tpm: own.tpm, identity }));
    Ok(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain.to_der(), Arc::new(key)))))
}

struct Key {
    tpm: Tpm,
    identity: LocalIdentity,
}

/// The key, as rustls asks for it.
#[derive(Clone)]
struct InTpm(Arc<Key>);

impl std::fmt::Debug for InTpm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InTpm")
    }
}

impl SigningKey for InTpm {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SCHEME).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for InTpm {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let hashed = digest(&SHA256, message);
        let hashed = <[u8; 32]>::try_from(hashed.as_ref()).map_err(|e| Error::General(e.to_string()))?;
        let Key { tpm, identity } = &*self.0;
        tpm.sign_local(identity, &hashed, SIGN_TIMEOUT)
            .map_err(|e| Error::General(format!("{NO_SIGNATURE}: {e}")))
    }

    fn scheme(&self) -> SignatureScheme {
        SCHEME
    }
}

/// The one scheme of a P-256 key in TLS 1.3 (RFC 8446 §4.2.3).
const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
/// How the words begin when the TPM did not sign.
pub(super) const NO_SIGNATURE: &str = "the TPM does not sign for TLS";
