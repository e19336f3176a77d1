//! JSON that lies on disk or is carried to the gateway: what is read is written back the same.
#![no_main]

use gateway::vault::Sidecar;
use hal::tpm::{Approval, ApprovalRequest, Provisioned, Quote};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    macro_rules! round_trip {
        ($($kind:ty),*) => { $(
            if let Ok(value) = serde_json::from_slice::<$kind>(data) {
                let again = serde_json::to_vec(&value).expect("what was read can be written");
                let same = serde_json::from_slice::<$kind>(&again).expect("what was written can be read");
                assert_eq!(same, value);
            }
        )* };
    }
    round_trip!(Sidecar, Approval, ApprovalRequest, Provisioned, Quote);
    if let Ok(request) = serde_json::from_slice::<gateway::judge::Request>(data) {
        assert!(serde_json::to_string(&request).is_ok());
    }
});
