//! A chain of certificates as an authority hands it over: PEM, this box's own first, each signed by the next.

use hal::clock::Wall;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use super::certificate::Certificate;

/// Largest file that is read, in bytes.
pub const MAX_FILE: usize = 32 << 10;
/// Most certificates in it: a root and a few issuers.
pub const MAX_CERTIFICATES: usize = 6;
/// Time left below which somebody is told: enough to have a new one issued.
pub const SOON_MS: i64 = 30 * DAY_MS;
const DAY_MS: i64 = 86_400_000;

/// Certificates, the box's own first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    der: Vec<CertificateDer<'static>>,
    read: Vec<Certificate>,
}

/// A chain that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainRefused {
    /// No certificates in PEM.
    #[error("{0}; expected 1 to {MAX_CERTIFICATES} certificates in PEM, this box's own first")]
    Unreadable(String),
    /// About another key.
    #[error(
        "the first certificate ({subject}) is about another key, expected that of this box's last request"
    )]
    OtherKey {
        /// Whom it is about.
        subject: String,
    },
    /// Not one signed by the next.
    #[error("{0}; expected each certificate to be signed by the next")]
    Broken(String),
    /// Not valid now, or not for this.
    #[error("{0}; expected certificates that are valid now, the first one for clients of TLS")]
    NotValid(String),
}

impl Chain {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ChainRefused::Unreadable`].
    pub fn parse(file: &[u8]) -> Result<Chain, ChainRefused> {
        let refuse = |what: String| Err(ChainRefused::Unreadable(what));
        if file.len() > MAX_FILE {
            return refuse(format!("found {} bytes, at most {MAX_FILE} are read", file.len()));
        }
        let all: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(file).take(MAX_CERTIFICATES + 1).collect();
        let der = match all {
            Ok(all) if (1..=MAX_CERTIFICATES).contains(&all.len()) => all,
            Ok(all) if all.is_empty() => return refuse("found no certificate".into()),
            Ok(_) => return refuse(format!("found more than {MAX_CERTIFICATES} certificates")),
            Err(e) => return refuse(format!("found no PEM ({e})")),
        };
        let mut read = Vec::new();
        for (n, one) in der.iter().enumerate() {
            match Certificate::parse(one) {
                Some(certificate) => read.push(certificate),
                None => return refuse(format!("certificate {} cannot be read", n + 1)),
            }
        }
        Ok(Chain { der, read })
    }

    /// The box's own certificate.
    pub fn own(&self) -> &Certificate {
        &self.read[0] // parse gives at least one
    }

    /// All of them in DER, as TLS sends them.
    pub fn to_der(&self) -> Vec<CertificateDer<'static>> {
        self.der.clone()
    }

    /// Whether they are for `key` (SubjectPublicKeyInfo in DER), in order, and valid at `now` for a client of TLS.
    ///
    /// # Errors
    /// [`ChainRefused`], in this order.
    pub fn check(&self, key: &[u8], now: Wall) -> Result<(), ChainRefused> {
        let own = self.own();
        if own.key != key {
            return Err(ChainRefused::OtherKey { subject: own.subject.clone() });
        }
        self.in_order()?;
        self.valid(now)?;
        if own.is_authority || !own.for_clients {
            let what = format!("{} is not for signing as a client", own.subject);
            return Err(ChainRefused::NotValid(what));
        }
        self.signed(now)
    }

    fn in_order(&self) -> Result<(), ChainRefused> {
        for pair in self.read.windows(2) {
            if pair[0].issuer_der != pair[1].subject_der {
                let what = format!(
                    "{} was issued by {}, not by {}",
                    pair[0].subject, pair[0].issuer, pair[1].subject
                );
                return Err(ChainRefused::Broken(what));
            }
        }
        Ok(())
    }

    fn valid(&self, now: Wall) -> Result<(), ChainRefused> {
        if !now.trusted {
            let what = format!("the clock says {now} and was never set");
            return Err(ChainRefused::NotValid(what));
        }
        for certificate in &self.read {
            let Certificate { subject, not_before, not_after, .. } = certificate;
            if now.ms < not_before.ms || now.ms > not_after.ms {
                let what = format!("{subject} is valid from {not_before} to {not_after}, and it is {now}");
                return Err(ChainRefused::NotValid(what));
            }
        }
        Ok(())
    }

    /// A certificate that comes alone shows nothing of who signed it: whoever is shown it has to know its issuer.
    fn signed(&self, now: Wall) -> Result<(), ChainRefused> {
        let broken =
            |e: &dyn std::fmt::Display| ChainRefused::Broken(format!("the chain does not hold: {e}"));
        let own = EndEntityCert::try_from(&self.der[0]).map_err(|e| match e {
            webpki::Error::UnsupportedCertVersion => ChainRefused::NotValid(
                "the first certificate has no extensions (X.509 version 1): it was issued without those of the request, as \
                 openssl x509 -req does without -copy_extensions copy"
                    .into(),
            ),
            e => broken(&e),
        })?;
        let [_, between @ .., last] = self.der.as_slice() else { return Ok(()) };
        let anchor = webpki::anchor_from_trusted_cert(last).map_err(|e| broken(&e))?;
        let seconds = u64::try_from(now.ms / 1000).unwrap_or(0);
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let (algorithms, usage) = (webpki::ALL_VERIFICATION_ALGS, KeyUsage::client_auth());
        own.verify_for_usage(algorithms, &[anchor], between, time, usage, None, None)
            .map(drop)
            .map_err(|e| broken(&e))
    }

    /// What there is to say of its time at `now`; `None` while it has more than 30 days left.
    pub fn ends_soon(&self, now: Wall) -> Option<String> {
        let first = self.read.iter().min_by_key(|c| c.not_after.ms)?;
        let left = first.not_after.ms.saturating_sub(now.ms);
        match left {
            _ if left < 0 => Some(format!("{} expired at {}", first.subject, first.not_after)),
            ..=SOON_MS => Some(format!("{} ends in {} days", first.subject, left / DAY_MS)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::PublicKeyData as _;
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    };

    use super::*;

    const NOW: Wall = Wall::trusted(1_790_000_000_000);

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn own(
        by: &CertifiedIssuer<'static, KeyPair>,
        key: &KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> String {
        let mut params = params("cell-4");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        params.signed_by(key, by).unwrap().pem()
    }

    #[test]
    fn a_chain_for_another_key_out_of_order_or_of_another_time_is_refused() {
        let (site, other, key) = (authority("site"), authority("site"), KeyPair::generate().unwrap());
        let spki = key.subject_public_key_info();
        let check = |pem: String| Chain::parse(pem.as_bytes()).and_then(|chain| chain.check(&spki, NOW));
        let plain = own(&site, &key, |_| ());
        let strange = own(&site, &KeyPair::generate().unwrap(), |_| ());
        let server =
            |p: &mut CertificateParams| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let over = |p: &mut CertificateParams| p.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let later = |p: &mut CertificateParams| p.not_before = rcgen::date_time_ymd(2090, 1, 1);
        let ca = |p: &mut CertificateParams| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        for (what, pem, why) in [
            ("nothing", String::new(), "no certificate"),
            ("a request", plain.replace("CERTIFICATE", "CERTIFICATE REQUEST"), "no certificate"),
            ("no certificate in it", plain.replace("MII", "AII"), "certificate 1 cannot be read"),
            ("too many", plain.repeat(MAX_CERTIFICATES + 1), "more than 6"),
            ("another key", strange.clone() + &site.pem(), "another key"),
            ("the other way round", site.pem() + &plain, "another key"),
            ("an issuer of another name", plain.clone() + &authority("else").pem(), "was issued by CN=site"),
            ("another issuer of that name", plain.clone() + &other.pem(), "does not hold"),
            ("one too many in between", plain.clone() + &strange + &site.pem(), "was issued by CN=site"),
            ("past its end", own(&site, &key, over), "is valid from"),
            ("before its time", own(&site, &key, later), "is valid from"),
            ("for a server", own(&site, &key, server), "not for signing"),
            ("an authority", own(&site, &key, ca), "not for signing"),
        ] {
            let error = check(pem).unwrap_err().to_string();
            assert!(error.contains(why), "{what}: {error}");
        }
        let big = vec![b'x'; MAX_FILE + 1];
        assert!(Chain::parse(&big).unwrap_err().to_string().contains("at most"));
        let chain = Chain::parse((plain.clone() + &site.pem()).as_bytes()).unwrap();
        let unset = Wall { trusted: false, ..NOW };
        assert!(chain.check(&spki, unset).unwrap_err().to_string().contains("never set"));
        assert_eq!(chain.check(&spki, NOW), Ok(()));
        assert_eq!(check(plain), Ok(()), "without its issuer");
        assert_eq!((chain.own().subject.as_str(), chain.to_der().len()), ("CN=cell-4", 2));
    }

    #[test]
    fn thirty_days_before_its_end_it_says_so() {
        let (site, key) = (authority("site"), KeyPair::generate().unwrap());
        let pem = own(&site, &key, |p| p.not_after = rcgen::date_time_ymd(2026, 10, 30));
        let chain = Chain::parse(pem.as_bytes()).unwrap();
        let at = |day: &str| chain.ends_soon(day.parse().unwrap());
        assert_eq!(at("2026-09-29"), None);
        assert_eq!(at("2026-09-30").as_deref(), Some("CN=cell-4 ends in 30 days"));
        assert!(at("2026-10-31").unwrap().contains("expired at 2026-10-30"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_a_chain(bytes: Vec<u8>) {
            use base64::Engine as _;
            let inside = base64::engine::general_purpose::STANDARD.encode(&bytes);
            let pem = format!("-----BEGIN CERTIFICATE-----\n{inside}\n-----END CERTIFICATE-----\n");
            for file in [bytes.as_slice(), pem.as_bytes()] {
                if let Ok(chain) = Chain::parse(file) {
                    prop_assert!(chain.check(b"no key", NOW).is_err());
                }
            }
        }
    }
}
