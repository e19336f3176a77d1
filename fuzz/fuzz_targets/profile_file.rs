//! Transfer profiles: every text is a profile that keeps its own promises, or refused with words.
#![no_main]

use gateway::protocol::modbus::profile::{Flash, MAX_IMAGE, Profile, Role};
use gateway::transfer::engine::Way;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Profile::parse(text) {
        Ok(profile) => {
            assert!((1..=MAX_IMAGE).contains(&profile.max_image));
            assert!(profile.delivery_block() > 0);
            let _ = profile.predicted(profile.max_image);
            assert!(
                profile.guarded().iter().all(|g| !g.is_empty() && g.end <= 65_536),
                "{:?}",
                profile.guarded()
            );
            if profile.ways.contains(&Way::Match) {
                assert!(profile.flash == Flash::DualBank && profile.steps(Role::Commit).next().is_some());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
