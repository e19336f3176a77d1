//! The stored trust store, inside and outside its seal: what is read is written back byte for byte.
#![no_main]

use firmware_verifier::trust::TrustStore;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    assert!(TrustStore::unseal(data, &[0; 32]).is_err(), "opened without its key");
    if let Ok(store) = TrustStore::from_cbor(data) {
        assert_eq!(store.to_cbor().expect("a store that was read can be written"), data);
    }
});
