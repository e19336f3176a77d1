//! Certificates of endorsement keys against the authorities of makers that somebody trusts.
//!
//! Paths are built and signatures verified by rustls-webpki (RFC 5280). Every certificate given is trusted as it is, be
//! it a root or an issuer: whoever gives it has decided so, and its own end is not looked at. Revocation is not looked
//! at either: makers publish it online.

use hal::clock::Wall;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

/// Most certificates of authorities: all makers together have fewer.
const MAX_MAKERS: usize = 256;
/// tcg-kp-EKCertificate, 2.23.133.8.1: what an endorsement key's certificate is for (TCG EK Credential Profile §3.2).
const EK_USAGE: KeyUsage = KeyUsage::required(&[0x67, 0x81, 0x05, 0x08, 0x01]);

/// Makers of TPMs whose word is believed.
#[derive(Debug, Default)]
pub struct Makers(Vec<TrustAnchor<'static>>);

/// A file that names no maker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MakersError {
    /// Nothing in it.
    #[error("no certificate in it; expected one or more, in PEM, or one in DER")]
    None,
    /// Not a certificate.
    #[error("certificate {number} cannot be read: {found}")]
    Certificate {
        /// Which one, from 1.
        number: usize,
        /// What is wrong with it.
        found: String,
    },
    /// Over the limit.
    #[error("more than {MAX_MAKERS} certificates; give those of the makers whose TPMs you have")]
    TooMany,
}

impl Makers {
    /// Adds every certificate of a file: PEM, or one in DER.
    ///
    /// # Errors
    /// [`MakersError`]; then none was added.
    pub fn add(&mut self, file: &[u8]) -> Result<(), MakersError> {
        let pem: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file).take(MAX_MAKERS + 1).collect();
        let found = |number: usize, found: &dyn std::fmt::Display| MakersError::Certificate {
            number,
            found: found.to_string(),
        };
        let mut all = pem.map_err(|e| found(1, &e))?;
        if all.is_empty() && file.first() == Some(&0x30) {
            all.push(CertificateDer::from(file.to_vec()));
        }
        if all.is_empty() {
            return Err(MakersError::None);
        }
        if all.len() + self.0.len() > MAX_MAKERS {
            return Err(MakersError::TooMany);
        }
        let anchor = |(n, der): (usize, &CertificateDer<'_>)| {
            webpki::anchor_from_trusted_cert(der)
                .map(|anchor| anchor.to_owned())
                .map_err(|e| found(n + 1, &e))
        };
        let anchors: Result<Vec<_>, _> = all.iter().enumerate().map(anchor).collect();
        self.0.extend(anchors?);
        Ok(())
    }

    /// Whether nobody is believed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them has certified, for an endorsement key, the very key `spki` (DER), at `now`.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn vouch(&self, certificate: &[u8], spki: &[u8], now: Wall) -> Result<(), String> {
        self.vouch_for(EK_USAGE, certificate, spki, now)
    }

    /// As [`Makers::vouch`], for the identity that a box's maker gave it: usages, where it names any, must let it sign as
    /// a client of TLS.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn vouch_device(&self, certificate: &[u8], spki: &[u8], now: Wall) -> Result<(), String> {
        self.vouch_for(KeyUsage::client_auth(), certificate, spki, now)
    }

    fn vouch_for(&self, usage: KeyUsage, certificate: &[u8], spki: &[u8], now: Wall) -> Result<(), String> {
        let der = CertificateDer::from(certificate);
        let certificate = EndEntityCert::try_from(&der).map_err(|e| format!("no certificate: {e}"))?;
        if certificate.subject_public_key_info().as_ref() != spki {
            return Err("its certificate is about another key".into());
        }
        let seconds = u64::try_from(now.ms / 1000).unwrap_or(0);
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        let path = certificate.verify_for_usage(algorithms, &self.0, &[], time, usage, None, None);
        path.map(drop).map_err(|e| format!("its certificate does not lead to a maker that was given: {e}"))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::PublicKeyData as _;
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    };

    use super::*;

    const NOW: Wall = Wall::trusted(1_790_000_000_000);

    fn maker() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// A certificate and the key it is about.
    fn ek(
        by: &CertifiedIssuer<'static, KeyPair>,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(vec![2, 23, 133, 8, 1])];
        change(&mut params);
        (params.signed_by(&key, by).unwrap().der().to_vec(), key.subject_public_key_info())
    }

    #[test]
    fn a_maker_vouches_for_its_own_keys_as_endorsement_keys_and_for_nothing_else() {
        let (mine, other) = (maker(), maker());
        let mut makers = Makers::default();
        makers.add(mine.pem().as_bytes()).unwrap();
        let (good, key) = ek(&mine, |_| ());
        assert_eq!(makers.vouch(&good, &key, NOW), Ok(()));
        assert!(Makers::default().vouch(&good, &key, NOW).unwrap_err().contains("lead to"));
        let (away, away_key) = ek(&other, |_| ());
        let (server, server_key) =
            ek(&mine, |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
        let (plain, plain_key) = ek(&mine, |p| p.extended_key_usages = vec![]);
        let (over, over_key) = ek(&mine, |p| p.not_after = rcgen::date_time_ymd(2020, 1, 1));
        for (what, certificate, key, why) in [
            ("another maker", &away, &away_key, "lead to"),
            ("another key", &good, &away_key, "another key"),
            ("for a server", &server, &server_key, "lead to"),
            ("for nothing in particular", &plain, &plain_key, "lead to"),
            ("past its end", &over, &over_key, "lead to"),
            ("none", &key, &key, "no certificate"),
        ] {
            let error = makers.vouch(certificate, key, NOW).unwrap_err();
            assert!(error.contains(why), "{what}: {error}");
        }
        assert_eq!(makers.vouch_device(&plain, &plain_key, NOW), Ok(()));
        assert!(makers.vouch_device(&good, &key, NOW).unwrap_err().contains("lead to"), "an endorsement key");
    }

    #[test]
    fn makers_are_read_from_pem_and_der_and_nothing_else() {
        let mut makers = Makers::default();
        let both = maker().pem() + &maker().pem();
        makers.add(both.as_bytes()).unwrap();
        makers.add(maker().der()).unwrap();
        assert_eq!(makers.0.len(), 3);
        for (bad, why) in [
            (&b""[..], "no certificate in it"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1"),
            (b"\x30\x03\x02\x01\x01", "certificate 1"),
        ] {
            assert!(makers.add(bad).unwrap_err().to_string().contains(why), "{why}");
        }
        assert_eq!(makers.0.len(), 3);
        let many = maker().pem().repeat(MAX_MAKERS);
        assert_eq!(makers.add(many.as_bytes()), Err(MakersError::TooMany));
    }
}
