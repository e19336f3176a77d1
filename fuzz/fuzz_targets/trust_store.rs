//! The stored trust store, inside and outside its seal: what is read is written back byte for byte, or, if
//! an earlier version wrote it, in a form that is.
#![no_main]

use firmware_verifier::trust::TrustStore;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    assert!(TrustStore::unseal(data, &[0; 32]).is_err(), "opened without its key");
    if let Ok(store) = TrustStore::from_cbor(data) {
        let written = store.to_cbor().expect("a store that was read can be written");
        let again = TrustStore::from_cbor(&written).expect("and read again");
        assert_eq!(again, store);
        assert_eq!(again.to_cbor().expect("and written again"), written);
    }
});
