//! The local identity (LDevID, IEEE 802.1AR): a key in the TPM, a request for its certificate, and the certificate that the
//! site's authority issued. And the identity that the box came with, where it did (IDevID).
//!
//! The key opens nothing and needs no gate: TLS uses it in every boot state, so that alarms get through when the gate is
//! shut. Whether a certificate is good is never a reason to hold or release anything.

use hal::clock::Wall;
use hal::store::Store;
use hal::tpm::{EkKind, LocalIdentity, LocalKey, Provisioned, Tpm};
use serde::{Deserialize, Serialize};

use super::doctor::Check;
use super::failure::Failure;
use super::gate::TPM_TIMEOUT;
use super::message::Answered;
use super::provision::{PROVISION_TIMEOUT, tpm_failure};
use super::{Judge, why};
use crate::attestation::{Hex, Initial, Local};
use crate::audit::Kind;
use crate::config::MqttClient;
use crate::devid::{self, Chain, ChainRefused};
use crate::receipt::record::{Bytes, Certified};

/// The certificate that is installed, and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRow {
    /// Whom it is about.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Last moment it is valid.
    pub until: Wall,
    /// What is wrong with it, or soon will be.
    pub warning: Option<String>,
}

/// The key in the TPM and where its certificate lies: all that TLS needs, and nothing that opens the gate.
#[derive(Debug, Clone)]
pub struct DeviceKey {
    /// The one handle to the TPM.
    pub tpm: Tpm,
    /// The data folder.
    pub store: Store,
}

impl DeviceKey {
    /// The key and the certificate that is installed for it, as they are now.
    ///
    /// # Errors
    /// What is missing, and what to do about it.
    pub fn ready(&self) -> Result<(LocalIdentity, Chain), String> {
        let Some((identity, key)) = identity(&self.store)? else {
            return Err(format!("certificate = \"tpm\": no key was made for it yet; {FIRST}"));
        };
        let Some(chain) = installed(&self.store)? else {
            return Err(format!("certificate = \"tpm\": no certificate is installed; {FIRST}"));
        };
        if chain.own().key != key.to_der() {
            return Err(format!("certificate = \"tpm\": what is installed is for another key; {FIRST}"));
        }
        Ok((identity, chain))
    }
}

/// The key as rcgen asks for it.
struct Requester<'a> {
    tpm: &'a Tpm,
    identity: &'a LocalIdentity,
    key: LocalKey,
}

impl rcgen::PublicKeyData for Requester<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.key.point()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Requester<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let digest = firmware_verifier::Digest::of(message);
        let signed = self.tpm.sign_local(self.identity, digest.as_bytes(), TPM_TIMEOUT);
        signed.map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

impl Judge {
    /// The key and the certificate for whoever speaks TLS; `None` without a TPM.
    pub fn device_key(&self) -> Option<DeviceKey> {
        Some(DeviceKey { tpm: self.tpm.clone()?, store: self.store.clone() })
    }

    /// A request for a certificate; makes the key where there is none for this TPM.
    pub(super) fn certificate_request(&mut self) -> Result<Answered, Failure> {
        let provisioned = self.provisioned_or_failure()?;
        let tpm = self.tpm_or_failure()?.clone();
        let (identity, key) = match identity(&self.store) {
            Ok(Some(known)) if known.0.srk_name == provisioned.srk_name => known,
            _ => self.make_identity(&tpm, &provisioned)?,
        };
        let serial = self.serial(&tpm)?;
        let requester = Requester { tpm: &tpm, identity: &identity, key };
        let request = devid::make(&self.config.name, &serial, &requester).map_err(|e| {
            Failure::new(why::TPM_UNAVAILABLE, format!("the TPM does not sign the request: {e}"))
        })?;
        self.note(Kind::BootState, SUBJECT, "a certificate was requested for the key in the TPM");
        Ok(Answered::CertificateRequest { request })
    }

    fn make_identity(
        &mut self,
        tpm: &Tpm,
        provisioned: &Provisioned,
    ) -> Result<(LocalIdentity, LocalKey), Failure> {
        let made = tpm.make_local_identity(provisioned, PROVISION_TIMEOUT).map_err(|e| tpm_failure(&e))?;
        let key = made.public_key().map_err(|e| tpm_failure(&e))?;
        let text = serde_json::to_vec_pretty(&made).map_err(|e| Failure::internal(e.to_string()))?;
        self.store.write_atomic(KEY, &text)?;
        self.note(Kind::BootState, SUBJECT, &format!("a key was made in the TPM: {}", key.name()));
        Ok((made, key))
    }

    /// What tells this box from every other: the digest of an endorsement key's certificate, or of the key where no
    /// maker has certified one.
    fn serial(&self, tpm: &Tpm) -> Result<String, Failure> {
        let eks = self.endorsements()?;
        let unique = match EkKind::ALL.iter().find_map(|kind| eks.iter().find(|ek| ek.kind == *kind)) {
            Some(ek) => ek.certificate.0.clone(),
            None => tpm.endorsement_public(PROVISION_TIMEOUT).map_err(|e| tpm_failure(&e))?,
        };
        Ok(firmware_verifier::Digest::of(&unique).to_hex())
    }

    /// Takes what the authority has issued into use.
    pub(super) fn install_certificate(&mut self, file: &[u8]) -> Result<Answered, Failure> {
        let refused = |e: ChainRefused| {
            let code = match &e {
                ChainRefused::OtherKey { .. } => why::CERTIFICATE_OTHER,
                ChainRefused::Broken(_) => why::CERTIFICATE_CHAIN,
                ChainRefused::NotValid(_) => why::CERTIFICATE_TIME,
                _ => why::CERTIFICATE_UNREADABLE,
            };
            Failure::new(code, e.to_string())
        };
        let chain = Chain::parse(file).map_err(refused)?;
        let provisioned = self.provisioned_or_failure()?;
        let known = identity(&self.store).map_err(|e| Failure::new(why::CERTIFICATE_OTHER, e))?;
        let known = known.filter(|(identity, _)| identity.srk_name == provisioned.srk_name);
        let Some((identity, key)) = known else {
            let text = format!("this TPM holds no key for a certificate; {FIRST}");
            return Err(Failure::new(why::CERTIFICATE_OTHER, text));
        };
        chain.check(&key.to_der(), self.now()).map_err(refused)?;
        // That the key on disk still is the TPM's: it signs.
        let probe = firmware_verifier::Digest::of(PROBE);
        self.tpm_or_failure()?.sign_local(&identity, probe.as_bytes(), TPM_TIMEOUT).map_err(|e| {
            Failure::new(
                if e.is_undecided() { why::TPM_UNAVAILABLE } else { why::CERTIFICATE_OTHER },
                e.to_string(),
            )
        })?;
        self.store.write_atomic(CHAIN, file)?;
        let row = row(&chain, self.now());
        let text = format!("installed: {}, issued by {}, until {}", row.subject, row.issuer, row.until);
        self.note_with(
            Kind::Config,
            SUBJECT,
            &text,
            None,
            Some(*firmware_verifier::Digest::of(file).as_bytes()),
        );
        Ok(Answered::Certificate(row))
    }

    /// The certificate that is installed; `None` where there is none.
    pub(super) fn certificate(&self) -> Option<CertificateRow> {
        match installed(&self.store) {
            Ok(None) => None,
            Ok(Some(chain)) => {
                let mut row = row(&chain, self.now());
                let fits = identity(&self.store)
                    .is_ok_and(|known| known.is_some_and(|(_, key)| key.to_der() == chain.own().key));
                if !fits {
                    row.warning = Some("it is for another key than the one in this TPM".into());
                }
                Some(row)
            }
            Err(text) => Some(CertificateRow {
                subject: "unreadable".into(),
                issuer: String::new(),
                until: self.now(),
                warning: Some(text),
            }),
        }
    }

    /// How the certificate is; nothing where there is none and none is wanted.
    pub(super) fn certificate_check(&self) -> Option<Check> {
        const ID: &str = "certificate";
        const EXPECTED: &str = "a certificate of the key in the TPM, good for 30 days and more";
        let tls = self.config.mqtt.as_ref().and_then(|mqtt| mqtt.tls.as_ref());
        let wanted = tls.is_some_and(|tls| tls.client == Some(MqttClient::Tpm));
        match self.certificate() {
            Some(row) => Some(match row.warning {
                None => {
                    Check::ok(ID, format!("{}, issued by {}, until {}", row.subject, row.issuer, row.until))
                }
                Some(warning) => Check::warn(ID, warning, EXPECTED, FIRST),
            }),
            None if wanted => Some(Check::warn(ID, "none is installed", EXPECTED, FIRST)),
            None => None,
        }
    }

    /// For an attestation: the local key, where one was made for this TPM.
    pub(super) fn local(&self, tpm: &Tpm, provisioned: &Provisioned) -> Result<Option<Local>, Failure> {
        let known = identity(&self.store).unwrap_or_else(|e| {
            tracing::warn!(error = %e, "the attestation goes without the local identity");
            None
        });
        let Some((identity, _)) = known.filter(|(identity, _)| identity.srk_name == provisioned.srk_name)
        else {
            return Ok(None);
        };
        let certified =
            tpm.certify_local(provisioned, &identity, TPM_TIMEOUT).map_err(|e| tpm_failure(&e))?;
        Ok(Some(Local { public: Hex(identity.key.public), certification: written(certified) }))
    }

    /// For an attestation: the identity that the box came with, where it did. What cannot be read is none.
    pub(super) fn initial(&self, tpm: &Tpm, provisioned: &Provisioned) -> Result<Option<Initial>, Failure> {
        match tpm.initial_identity(provisioned, TPM_TIMEOUT) {
            Ok(None) => Ok(None),
            Ok(Some(found)) => {
                let (certification, uncertified) = match found.certification {
                    Ok(certification) => (Some(written(certification)), None),
                    Err(text) => (None, Some(text.chars().take(200).collect())),
                };
                let (certificate, public) = (Hex(found.certificate), Hex(found.public));
                Ok(Some(Initial { certificate, public, certification, uncertified }))
            }
            Err(e) if e.is_undecided() => Err(tpm_failure(&e)),
            Err(e) => {
                tracing::warn!(error = %e, "the attestation goes without the initial identity");
                Ok(None)
            }
        }
    }
}

fn written(from: hal::tpm::Certification) -> Certified {
    Certified { attest: Bytes(from.attest), signature: Bytes(from.signature) }
}

fn row(chain: &Chain, now: Wall) -> CertificateRow {
    let own = chain.own();
    CertificateRow {
        subject: own.subject.clone(),
        issuer: own.issuer.clone(),
        until: own.not_after,
        warning: chain.ends_soon(now),
    }
}

/// The key that was made, and its public half.
fn identity(store: &Store) -> Result<Option<(LocalIdentity, LocalKey)>, String> {
    let damaged = |e: String| format!("{KEY} in the data folder is damaged ({e}); {FIRST}");
    let Some(bytes) = store.read(KEY, MAX_KEY).map_err(|e| damaged(e.to_string()))? else { return Ok(None) };
    let identity: LocalIdentity = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
    let key = identity.public_key().map_err(|e| damaged(e.to_string()))?;
    Ok(Some((identity, key)))
}

/// The chain that was installed.
fn installed(store: &Store) -> Result<Option<Chain>, String> {
    let damaged = |e: String| format!("{CHAIN} in the data folder is damaged ({e}); install it again");
    let bytes = store.read(CHAIN, devid::MAX_FILE as u64).map_err(|e| damaged(e.to_string()))?;
    bytes.map(|bytes| Chain::parse(&bytes).map_err(|e| damaged(e.to_string()))).transpose()
}

/// The key's blob.
const KEY: &str = "ldevid.json";
/// The installed chain, as it came.
const CHAIN: &str = "ldevid.pem";
/// Largest record of a key, in bytes; ours have less than 1 KiB.
const MAX_KEY: u64 = 8 << 10;
const SUBJECT: &str = "ldevid";
/// What is signed to see that the key signs; nothing that TLS or a request would have signed.
const PROBE: &[u8] = b"headgate looks whether this key signs";
/// The way to a certificate.
const FIRST: &str =
    "headgate attest --csr -o FILE, have it signed, then headgate attest --certificate FILE (docs/devid.md)";
