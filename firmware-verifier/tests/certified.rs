//! CMS signatures made by `openssl cms`, certificates and lists by `openssl ca`. Refusals first.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use ed25519_dalek::Signer as _;
use firmware_verifier::Verdict;
use firmware_verifier::document::{Document, DocumentId, Moment, RevokedKey, TrustBundle};
use firmware_verifier::reasons as r;
use firmware_verifier::signature::SignatureFile;
use firmware_verifier::trust::{
    Anchor, Certified, KeyKind, PublicKey, Role, Scope, Signing, Threshold, TrustStore,
};
use hal::clock::{Clock, Wall};
use hal::reason::ReasonCode;

const IMAGE: &str = "/usr/lib/u-boot/qemu_arm64/u-boot.bin";

/// A vendor: its authority, those who sign below it, and what they signed.
struct Vendor {
    folder: PathBuf,
    image: Vec<u8>,
}

impl Drop for Vendor {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const CONFIG: &str = "\
[ca]
default_ca = vendor
[vendor]
dir = .
database = index.txt
serial = serial
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_days = 30
default_crl_days = 7
crlnumber = crlnumber
crl_extensions = list
policy = any
unique_subject = no
[any]
commonName = supplied
organizationName = optional
[req]
distinguished_name = dn
[dn]
[authority]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[code]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = codeSigning
subjectKeyIdentifier = hash
[mail]
basicConstraints = critical,CA:false
extendedKeyUsage = emailProtection
[narrow]
basicConstraints = critical,CA:true,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[idle]
basicConstraints = critical,CA:true
keyUsage = critical,digitalSignature
[encipher]
basicConstraints = critical,CA:false
keyUsage = critical,keyEncipherment
[partial]
authorityKeyIdentifier = keyid
issuingDistributionPoint = critical,@idp
[idp]
fullname = URI:http://example.com/a.crl
[list]
authorityKeyIdentifier = keyid
[plain]
basicConstraints = critical,CA:false
";

impl Vendor {
    /// An authority in a folder of its own, when openssl and the image are here; CI must have both.
    fn new(name: &str) -> Option<Vendor> {
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cms-{name}-{}", std::process::id()));
        let image = match (std::fs::read(IMAGE), Command::new("openssl").arg("version").output()) {
            (Ok(image), Ok(_)) => image,
            _ if std::env::var_os("CI").is_some() => panic!("openssl or {IMAGE} is missing"),
            _ => {
                eprintln!("skipped: openssl or {IMAGE} is missing");
                return None;
            }
        };
        std::fs::create_dir_all(&folder).unwrap();
        let vendor = Vendor { folder, image };
        for (file, text) in [("ca.cnf", CONFIG), ("index.txt", ""), ("serial", "01\n"), ("crlnumber", "01\n")]
        {
            std::fs::write(vendor.folder.join(file), text).unwrap();
        }
        vendor.run(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout ca.key -out ca.pem \
             -days 30 -subj /O=Acme/CN=Acme-Root -config ca.cnf -extensions authority",
        );
        Some(vendor)
    }

    fn run(&self, command: &str) {
        let mut words = command.split_whitespace();
        let tool =
            Command::new(words.next().unwrap()).args(words).current_dir(&self.folder).output().unwrap();
        assert!(tool.status.success(), "{command}: {}", String::from_utf8_lossy(&tool.stderr));
    }

    /// A signer below the authority, with a key of this kind.
    fn signer(&self, name: &str, key: &str, extensions: &str, dates: &str) {
        self.run(&format!(
            "openssl req -new {key} -nodes -keyout {name}.key -out {name}.csr -subj /O=Acme/CN={name}"
        ));
        self.run(&format!(
            "openssl ca -batch -preserveDN -config ca.cnf -in {name}.csr -out {name}.pem -notext -extensions {extensions} {dates}"
        ));
    }

    fn sign(&self, name: &str, options: &str, out: &str) {
        self.run(&format!(
            "openssl cms -sign -binary -in {IMAGE} -signer {name}.pem -inkey {name}.key -md sha256 {options} -out {out}"
        ));
    }

    fn pinned(&self, authority: &str, signer: &str) -> Anchor {
        self.run(&format!("openssl x509 -in {authority} -outform DER -out {authority}.der"));
        let der = std::fs::read(self.folder.join(format!("{authority}.der"))).unwrap();
        let scope = Scope::new("acme", &["*"]).unwrap();
        Anchor::new(Certified::new(&der, signer).unwrap(), "acme", scope, now()).unwrap()
    }

    fn store(&self, signer: &str) -> TrustStore {
        TrustStore::with(1, vec![self.pinned("ca.pem", signer)]).unwrap()
    }

    fn verdict(&self, signature: &str, store: &TrustStore, image: &[u8], now: Wall) -> Verdict {
        let signature = SignatureFile::parse(&std::fs::read(self.folder.join(signature)).unwrap()).unwrap();
        support::verdict(signature, store, image, now)
    }

    fn passes(&self, signature: &str, store: &TrustStore) {
        let verdict = self.verdict(signature, store, &self.image, now());
        assert!(matches!(verdict, Verdict::Verified(..)), "{signature}: {:?}", verdict.evidence());
    }

    fn refuses(&self, signature: &str, store: &TrustStore, code: ReasonCode) {
        let verdict = self.verdict(signature, store, &self.image, now());
        assert_eq!(verdict.code(), Some(code), "{signature}: {:?}", verdict.evidence());
    }
}

fn now() -> Wall {
    Wall::trusted(Clock::system().wall().ms)
}

const P256: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256";

#[test]
fn what_openssl_cms_signs_passes_for_the_pinned_name_alone() {
    let Some(vendor) = Vendor::new("good") else { return };
    let keys =
        [("ec", P256), ("rsa", "-newkey rsa:2048"), ("ec384", "-newkey ec -pkeyopt ec_paramgen_curve:P-384")];
    for (name, key) in keys {
        vendor.signer(name, key, "code", "");
        let store = vendor.store(name);
        for (options, out) in
            [("-outform DER", "a.p7s"), ("-outform PEM", "a.pem.p7s"), ("-keyid -outform DER", "b.p7s")]
        {
            vendor.sign(name, options, out);
            vendor.refuses(out, &vendor.store("somebody"), r::SIGNER_UNKNOWN);
            let mut other = vendor.image.clone();
            other[1000] ^= 1;
            let verdict = vendor.verdict(out, &store, &other, now());
            assert_eq!(verdict.code(), Some(r::SIGNATURE_MISMATCH), "{:?}", verdict.evidence());
            vendor.passes(out, &store);
        }
    }
    vendor.sign("rsa", "-keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:-1 -outform DER", "pss.p7s");
    vendor.passes("pss.p7s", &vendor.store("rsa"));
    // The whole subject as RFC 4514 writes it: the last part first.
    vendor.passes("pss.p7s", &vendor.store("CN=rsa,O=Acme"));
    vendor.refuses("pss.p7s", &vendor.store("O=Acme,CN=rsa"), r::SIGNER_UNKNOWN);
}

#[test]
fn a_signer_whom_another_authority_certifies_under_the_same_name_is_unknown() {
    let (Some(vendor), Some(other)) = (Vendor::new("one"), Vendor::new("two")) else { return };
    other.signer("release", P256, "code", "");
    other.sign("release", "-outform DER", "a.p7s");
    std::fs::copy(other.folder.join("a.p7s"), vendor.folder.join("a.p7s")).unwrap();
    vendor.refuses("a.p7s", &vendor.store("release"), r::SIGNER_UNKNOWN);
    // Its certificate along with the signature changes nothing.
    other.sign("release", "-certfile ca.pem -outform DER", "b.p7s");
    std::fs::copy(other.folder.join("b.p7s"), vendor.folder.join("b.p7s")).unwrap();
    vendor.refuses("b.p7s", &vendor.store("release"), r::SIGNER_UNKNOWN);
}

#[test]
fn time_and_purpose_of_a_certificate_count() {
    let Some(vendor) = Vendor::new("limits") else { return };
    vendor.signer("old", P256, "code", "-startdate 20200101000000Z -enddate 20210101000000Z");
    vendor.signer("new", P256, "code", "-startdate 20980101000000Z -enddate 20990101000000Z");
    vendor.signer("mail", P256, "mail", "");
    vendor.signer("plain", P256, "plain", "");
    for (name, code) in
        [("old", r::SIGNER_EXPIRED), ("new", r::SIGNER_NOT_YET_VALID), ("mail", r::CERTIFICATE_PURPOSE)]
    {
        vendor.sign(name, "-outform DER", "a.p7s");
        vendor.refuses("a.p7s", &vendor.store(name), code);
    }
    vendor.sign("plain", "-outform DER", "a.p7s");
    vendor.passes("a.p7s", &vendor.store("plain"));
    let unset = Wall { trusted: false, ..now() };
    let verdict = vendor.verdict("a.p7s", &vendor.store("plain"), &vendor.image, unset);
    assert_eq!(verdict.code(), Some(r::CLOCK_UNTRUSTED));
}

#[test]
fn a_certificate_on_the_authoritys_list_counts_no_more_and_a_list_out_of_date_lets_none_pass() {
    let Some(vendor) = Vendor::new("lists") else { return };
    vendor.signer("release", P256, "code", "");
    vendor.signer("other", P256, "code", "");
    for name in ["release", "other"] {
        vendor.sign(name, "-outform DER", &format!("{name}.p7s"));
    }
    let anchors = || vec![vendor.pinned("ca.pem", "release"), vendor.pinned("ca.pem", "other")];
    let mut store = TrustStore::with(1, anchors()).unwrap();
    vendor.run("openssl ca -config ca.cnf -gencrl -out empty.crl");
    let read = |name: &str| std::fs::read(vendor.folder.join(name)).unwrap();
    store.import_crl(&read("empty.crl"), now()).unwrap();
    vendor.passes("release.p7s", &store);
    let again = store.import_crl(&read("empty.crl"), now()).unwrap_err().to_string();
    assert!(again.contains("counts already"), "{again}");

    std::thread::sleep(std::time::Duration::from_millis(1100));
    vendor.run("openssl ca -config ca.cnf -revoke release.pem");
    vendor.run("openssl ca -config ca.cnf -gencrl -out revoked.crl");
    store.import_crl(&read("revoked.crl"), now()).unwrap();
    vendor.refuses("release.p7s", &store, r::SIGNER_REVOKED);
    vendor.passes("other.p7s", &store);
    // The list is part of the store, and the store reads back.
    let mut store = TrustStore::from_cbor(&store.to_cbor().unwrap()).unwrap();
    vendor.refuses("release.p7s", &store, r::SIGNER_REVOKED);
    assert!(store.import_crl(&read("empty.crl"), now()).is_err(), "an older list");

    let late = Wall::trusted(now().ms + 8 * 86_400_000);
    let verdict = vendor.verdict("other.p7s", &store, &vendor.image, late);
    assert_eq!(verdict.code(), Some(r::LIST_EXPIRED), "{:?}", verdict.evidence());

    let Some(stranger) = Vendor::new("stranger") else { return };
    stranger.run("openssl ca -config ca.cnf -gencrl -out a.crl");
    let list = std::fs::read(stranger.folder.join("a.crl")).unwrap();
    let error = store.import_crl(&list, now()).unwrap_err().to_string();
    assert!(error.contains("no authority that is pinned has signed this list"), "{error}");
    for bytes in [&b""[..], b"-----BEGIN X509 CRL-----\n", &list[..100], &vec![0x30; 200_000]] {
        assert!(store.import_crl(bytes, now()).is_err());
    }
}

#[test]
fn cms_that_says_less_than_is_needed_is_refused_with_the_way_to_make_it() {
    let Some(vendor) = Vendor::new("less") else { return };
    vendor.signer("release", P256, "code", "");
    let refusal = |name: &str| {
        let error = SignatureFile::parse(&std::fs::read(vendor.folder.join(name)).unwrap()).unwrap_err();
        (error.code(), error.to_string())
    };
    for (options, expected) in [
        ("-noattr -outform DER", "without signed attributes"),
        ("-nocerts -outform DER", "without its signer's certificate"),
    ] {
        vendor.sign("release", options, "a.p7s");
        let (code, text) = refusal("a.p7s");
        assert_eq!(code, r::SIGNATURE_FORMAT_UNKNOWN);
        assert!(text.contains(expected), "{text}");
    }
    vendor.run(&format!(
        "openssl cms -sign -binary -in {IMAGE} -signer release.pem -inkey release.key -md sha512 -outform DER -out b.p7s"
    ));
    assert_eq!(refusal("b.p7s").0, r::SIGNATURE_FORMAT_UNKNOWN);
    vendor.run(&format!(
        "openssl cms -encrypt -binary -in {IMAGE} -aes256 -outform DER -out big.p7m release.pem"
    ));
    assert!(SignatureFile::parse(&std::fs::read(vendor.folder.join("big.p7m")).unwrap()).is_err());

    // With the image inside: it is compared with the image that is given.
    std::fs::write(vendor.folder.join("small.bin"), b"a small image").unwrap();
    vendor.run(
        "openssl cms -sign -binary -nodetach -in small.bin -signer release.pem -inkey release.key -md sha256 \
         -outform DER -out small.p7m",
    );
    let store = vendor.store("release");
    let inside = vendor.verdict("small.p7m", &store, b"a small image", now());
    assert!(matches!(inside, Verdict::Verified(..)), "{:?}", inside.evidence());
    vendor.refuses("small.p7m", &store, r::SIGNATURE_MISMATCH);
}

#[test]
fn every_changed_byte_of_a_cms_signature_is_noticed() {
    let Some(vendor) = Vendor::new("bits") else { return };
    vendor.signer("release", P256, "code", "");
    vendor.sign("release", "-outform DER", "a.p7s");
    let (store, good) = (vendor.store("release"), std::fs::read(vendor.folder.join("a.p7s")).unwrap());
    let image = &vendor.image[..];
    let mut passed = 0;
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 0x01;
        if SignatureFile::parse(&changed).is_err() {
            continue;
        }
        std::fs::write(vendor.folder.join("c.p7s"), &changed).unwrap();
        passed += u32::from(matches!(vendor.verdict("c.p7s", &store, image, now()), Verdict::Verified(..)));
    }
    // Versions and the list of hashes in front are labels that nothing depends on.
    println!("{passed} of {} changed bytes do not matter", good.len());
    assert!(passed <= 24, "{passed}");
}

#[test]
fn a_signer_whom_one_authority_revoked_counts_for_no_other_one() {
    let (Some(vendor), Some(other)) = (Vendor::new("cross-one"), Vendor::new("cross-two")) else { return };
    // One authority between, certified by both roots.
    vendor.run(&format!("openssl req -new {P256} -nodes -keyout sub.key -out sub.csr -subj /O=Acme/CN=Sub"));
    let certify = |by: &Vendor, out: &str| {
        by.run(&format!(
            "openssl x509 -req -in sub.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out {out} \
             -extfile ca.cnf -extensions authority"
        ));
    };
    certify(&vendor, "sub-one.pem");
    other.run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=Other-Root -config ca.cnf -extensions authority");
    std::fs::copy(vendor.folder.join("sub.csr"), other.folder.join("sub.csr")).unwrap();
    certify(&other, "sub-two.pem");
    for (from, to) in [("sub-two.pem", "sub-two.pem"), ("ca.pem", "other.pem")] {
        std::fs::copy(other.folder.join(from), vendor.folder.join(to)).unwrap();
    }
    vendor.run(&format!(
        "openssl req -new {P256} -nodes -keyout release.key -out release.csr -subj /O=Acme/CN=release"
    ));
    vendor.run(
        "openssl x509 -req -in release.csr -CA sub-one.pem -CAkey sub.key -CAcreateserial -days 30 -out release.pem \
         -extfile ca.cnf -extensions code",
    );
    let both = ["sub-one.pem", "sub-two.pem"].map(|name| std::fs::read(vendor.folder.join(name)).unwrap());
    std::fs::write(vendor.folder.join("both.pem"), both.concat()).unwrap();
    vendor.sign("release", "-certfile both.pem -outform DER", "a.p7s");
    let anchors = vec![vendor.pinned("ca.pem", "release"), vendor.pinned("other.pem", "release")];
    let mut store = TrustStore::with(1, anchors).unwrap();
    vendor.passes("a.p7s", &store);
    vendor.run("openssl ca -config ca.cnf -revoke sub-one.pem");
    vendor.run("openssl ca -config ca.cnf -gencrl -out revoked.crl");
    store.import_crl(&std::fs::read(vendor.folder.join("revoked.crl")).unwrap(), now()).unwrap();
    vendor.refuses("a.p7s", &store, r::SIGNER_REVOKED);
}

#[test]
fn the_key_in_a_certificate_may_be_revoked_by_itself() {
    let Some(vendor) = Vendor::new("key") else { return };
    vendor.signer("release", P256, "code", "");
    vendor.sign("release", "-outform DER", "a.p7s");
    vendor.run("openssl pkey -in release.key -pubout -out release.pub");
    let key = PublicKey::parse(&std::fs::read(vendor.folder.join("release.pub")).unwrap()).unwrap();
    let site = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let public = PublicKey::new(KeyKind::Ed25519, site.verifying_key().to_bytes()).unwrap();
    let anchors = vec![
        vendor.pinned("ca.pem", "release"),
        Anchor::with_role(Role::Site, public, "site", now()).unwrap(),
    ];
    let store = TrustStore::with(1, anchors).unwrap();
    vendor.passes("a.p7s", &store);
    let revoked = RevokedKey { key: key.id(), reason: "lost".to_owned() };
    let document = Document {
        content: TrustBundle { sequence: 1, revoke_keys: vec![revoked], ..TrustBundle::default() },
        expires: Moment::new(Wall::trusted(now().ms + 86_400_000)),
        gateway: "cell-4".to_owned(),
        id: DocumentId::from_bytes([7; 16]),
        issued: Moment::new(now()),
        reason: "as agreed".to_owned(),
    };
    let mut envelope = document.to_envelope().unwrap();
    envelope.attach("", &site.sign(&envelope.message()).to_bytes()).unwrap();
    let (store, _) = TrustBundle::apply(&envelope, &store, "cell-4", now()).unwrap();
    vendor.refuses("a.p7s", &store, r::SIGNER_REVOKED);
}

#[test]
fn what_is_no_authority_is_not_pinned() {
    let Some(vendor) = Vendor::new("pins") else { return };
    vendor.run(
        "openssl req -x509 -key ca.key -out idle.pem -days 9 -subj /CN=Idle -config ca.cnf -extensions idle",
    );
    let idle = std::fs::read(vendor.folder.join("idle.pem")).unwrap();
    let error = Certified::read(&idle, "x").unwrap_err();
    assert!(error.to_string().contains("may not certify others"), "{error}");
    vendor.signer("release", P256, "code", "");
    vendor.run("openssl x509 -in release.pem -outform DER -out release.der");
    let error = Certified::new(&std::fs::read(vendor.folder.join("release.der")).unwrap(), "x").unwrap_err();
    assert!(error.to_string().contains("may not certify others"), "{error}");
    vendor.run("openssl x509 -in ca.pem -outform DER -out ca.der");
    let der = std::fs::read(vendor.folder.join("ca.der")).unwrap();
    assert!(Certified::new(&der, " ").is_err());
    for bytes in [&[][..], &der[..der.len() - 1], &[der.as_slice(), &[0]].concat(), &[0x30; 5000]] {
        assert!(Certified::new(bytes, "x").is_err());
    }
    let anchor = vendor.pinned("ca.pem", "release");
    let json = serde_json::to_string(&anchor).unwrap();
    assert_eq!(serde_json::from_str::<Anchor>(&json).unwrap(), anchor);
    for (from, to) in [("\"x509\"", "\"ed25519\""), ("\"signer\":\"release\"", "\"signer\":\"x\"")] {
        assert!(serde_json::from_str::<Anchor>(&json.replacen(from, to, 1)).is_err(), "{from}");
    }
}

#[test]
fn one_signature_is_one_signer_under_however_many_names_and_certificates_of_its_authority() {
    let Some(vendor) = Vendor::new("aliases") else { return };
    vendor.signer("release", P256, "code", "");
    vendor.sign("release", "-outform DER", "a.p7s");
    // The authority's certificate renewed: another file, the same name and key.
    vendor.run(
        "openssl req -x509 -key ca.key -out renewed.pem -days 60 -subj /O=Acme/CN=Acme-Root -config ca.cnf \
         -extensions authority",
    );
    vendor.run("openssl pkey -in release.key -pubout -out release.pub");
    let raw = PublicKey::parse(&std::fs::read(vendor.folder.join("release.pub")).unwrap());
    let scope = Scope::new("acme", &["*"]).unwrap();
    let raw = Anchor::new(raw.unwrap(), "raw", scope, now()).unwrap();
    let named = [
        vendor.pinned("ca.pem", "release"),
        vendor.pinned("ca.pem", "CN=release,O=Acme"),
        vendor.pinned("renewed.pem", "release"),
    ];
    let signed = |anchor: &Anchor| Signing::with_key(anchor.clone(), raw.key().unwrap().as_bytes());
    let all: Vec<Signing> = named.iter().map(signed).chain([Signing::by(raw.clone())]).collect();
    assert!(Threshold::TWO.check_signings(&all).is_err());
    // Two keys under one name are one signer as well, and by way of a third both are one.
    let two_keys = [Signing::with_key(named[0].clone(), b"one"), Signing::with_key(named[0].clone(), b"two")];
    assert!(Threshold::TWO.check_signings(&two_keys).is_err());
    let apart = [Signing::with_key(named[0].clone(), b"one"), Signing::with_key(named[1].clone(), b"two")];
    assert!(Threshold::TWO.check_signings(&apart).is_ok());
    let joined = [&apart[..], &[Signing::with_key(named[1].clone(), b"one")]].concat();
    assert!(Threshold::TWO.check_signings(&joined).is_err());

    let mut anchors = named.to_vec();
    anchors.push(raw);
    let mut store = TrustStore::with(1, anchors).unwrap();
    vendor.passes("a.p7s", &store);
    // A list that came by one certificate of the authority counts for each.
    vendor.run("openssl ca -config ca.cnf -revoke release.pem");
    vendor.run("openssl ca -config ca.cnf -gencrl -out revoked.crl");
    store.import_crl(&std::fs::read(vendor.folder.join("revoked.crl")).unwrap(), now()).unwrap();
    vendor.refuses("a.p7s", &store, r::SIGNER_REVOKED);
    for anchor in &named {
        store.remove(anchor.id()).unwrap();
    }
    assert_eq!(store.crls().count(), 0, "the list goes with the last anchor of its authority");
}

#[test]
fn what_code_signing_certificates_sign_elsewhere_is_no_signature_of_an_image() {
    let Some(vendor) = Vendor::new("types") else { return };
    vendor.signer("release", P256, "code", "");
    // 1.3.6.1.4.1.311.2.1.4, as Authenticode has it.
    vendor.sign("release", "-econtent_type 1.3.6.1.4.1.311.2.1.4 -outform DER", "a.p7s");
    let error = SignatureFile::parse(&std::fs::read(vendor.folder.join("a.p7s")).unwrap()).unwrap_err();
    assert_eq!(error.code(), r::SIGNATURE_FORMAT_UNKNOWN, "{error}");
    // The signed attributes themselves, with the key pinned raw: what was signed is no image.
    let attributes = [&[0x31, 0x30, 0x30, 0x18][..], &PKCS9_CONTENT_TYPE, &[0; 30]].concat();
    vendor.sign("release", "-outform DER", "b.p7s");
    let verdict = vendor.verdict("b.p7s", &vendor.store("release"), &attributes, now());
    assert_eq!(verdict.code(), Some(r::IMAGE_IS_A_DOCUMENT), "{:?}", verdict.evidence());
}

/// The attribute's OBJECT IDENTIFIER, 1.2.840.113549.1.9.3.
const PKCS9_CONTENT_TYPE: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];

#[test]
fn an_authority_between_counts_where_the_pinned_one_lets_it_and_key_usage_is_looked_at() {
    let Some(vendor) = Vendor::new("between") else { return };
    vendor.run("openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout sub.key -out sub.csr -subj /O=Acme/CN=Sub");
    vendor.run("openssl x509 -req -in sub.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out sub.pem -extfile ca.cnf -extensions authority");
    let leaf = |name: &str, extensions: &str| {
        vendor.run(&format!(
            "openssl req -new {P256} -nodes -keyout {name}.key -out {name}.csr -subj /O=Acme/CN={name}"
        ));
        vendor.run(&format!(
            "openssl x509 -req -in {name}.csr -CA sub.pem -CAkey sub.key -CAcreateserial -days 30 -out {name}.pem \
             -extfile ca.cnf -extensions {extensions}"
        ));
    };
    leaf("release", "code");
    vendor.sign("release", "-outform DER", "alone.p7s");
    vendor.refuses("alone.p7s", &vendor.store("release"), r::SIGNER_UNKNOWN);
    vendor.sign("release", "-certfile sub.pem -outform DER", "a.p7s");
    vendor.passes("a.p7s", &vendor.store("release"));
    let issuing = TrustStore::with(1, vec![vendor.pinned("sub.pem", "release")]).unwrap();
    vendor.passes("alone.p7s", &issuing);
    // An authority that lets none stand between.
    vendor.run("openssl req -x509 -key ca.key -out narrow.pem -days 60 -subj /O=Acme/CN=Acme-Root -config ca.cnf -extensions narrow");
    let narrow = TrustStore::with(1, vec![vendor.pinned("narrow.pem", "release")]).unwrap();
    vendor.refuses("a.p7s", &narrow, r::SIGNER_UNKNOWN);
    leaf("crypt", "encipher");
    vendor.sign("crypt", "-certfile sub.pem -outform DER", "c.p7s");
    vendor.refuses("c.p7s", &vendor.store("crypt"), r::CERTIFICATE_PURPOSE);
}

#[test]
fn many_certificates_of_one_name_cost_no_time() {
    let Some(vendor) = Vendor::new("maze") else { return };
    vendor.signer("release", P256, "code", "");
    let mut more = Vec::new();
    for at in 0..6 {
        vendor.run(&format!(
            "openssl req -x509 {P256} -nodes -keyout maze.key -out maze{at}.pem -days 30 -subj /CN=Maze -config ca.cnf \
             -extensions authority"
        ));
        more.extend(std::fs::read(vendor.folder.join(format!("maze{at}.pem"))).unwrap());
    }
    std::fs::write(vendor.folder.join("maze.pem"), more).unwrap();
    vendor.sign("release", "-certfile maze.pem -outform DER", "a.p7s");
    let error = SignatureFile::parse(&std::fs::read(vendor.folder.join("a.p7s")).unwrap()).unwrap_err();
    assert_eq!(error.code(), r::SIGNATURE_FORMAT_UNKNOWN, "{error}");
}

#[test]
fn a_list_of_some_certificates_or_past_its_time_is_not_taken() {
    let Some(vendor) = Vendor::new("partial") else { return };
    let mut store = vendor.store("release");
    vendor.run("openssl ca -config ca.cnf -gencrl -crlexts partial -out a.crl");
    let read = |name: &str| std::fs::read(vendor.folder.join(name)).unwrap();
    let error = store.import_crl(&read("a.crl"), now()).unwrap_err().to_string();
    assert!(error.contains("some certificates only"), "{error}");
    vendor.run("openssl ca -config ca.cnf -gencrl -out b.crl");
    for late in [Wall::trusted(now().ms + 8 * 86_400_000), Wall::trusted(now().ms - 86_400_000)] {
        let error = store.import_crl(&read("b.crl"), late).unwrap_err().to_string();
        assert!(error.contains("past its time or of the future"), "{error}");
    }
    store.import_crl(&read("b.crl"), now()).unwrap();
}
