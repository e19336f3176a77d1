//! Policies: any text compiles or is refused with words, and one that compiles decides or says why not.
#![no_main]

use firmware_verifier::policy::{self, Controller, Image, Input, Module, Policy};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let modules = [Module { name: "site.rego".into(), text: text.into() }];
    let Ok(policy) = Policy::compile(&modules) else { return };
    let text = |text: &str| text.to_owned();
    let input = Input {
        schema: 1,
        now_ms: None,
        gateway: text("g"),
        controller: Controller { id: text("p"), zone: None, vendor: text("v"), model: text("m"), firmware: None },
        image: Image { sha256: None, size: 1, version: None, security_version: None, basis: None, signers: vec![] },
        stages: vec![],
        sbom: None,
        vulnerabilities: None,
    };
    let _ = policy.decide(&input);
    let _ = policy::test(&modules);
});
