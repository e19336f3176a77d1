//! Key files, certificates of authorities and revocation lists: every kind of bytes is a strong public key, an authority,
//! or refused with words; no list is taken that nobody pinned has signed.
#![no_main]

use firmware_verifier::trust::{Certified, Crl, Keyless, PublicKey};
use hal::clock::Wall;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match PublicKey::parse(data) {
        Ok(key) => assert_eq!(PublicKey::new(key.kind(), key.as_bytes()), Ok(key)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(pinned) = Certified::read(data, "release") {
        assert_eq!(Certified::new(pinned.authority(), "release"), Ok(pinned));
    }
    assert!(Crl::read(data, std::iter::empty(), Wall::trusted(0)).is_err());
    let authority = Certified::read(include_bytes!("../seeds/key_file/authority.der"), "release").expect("a seed");
    let unset = Wall { ms: 0, trusted: false };
    if let Ok(list) = Crl::read(data, std::iter::once(&authority), unset) {
        assert_eq!(*list.authority(), authority.authority_id());
    }
    let _ = Keyless::new(data, "who", "issuer");
});
