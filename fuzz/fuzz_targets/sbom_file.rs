//! Lists of parts: any bytes are a list, a signed one, or refused with words; and a list keeps to its limits.
#![no_main]

use firmware_verifier::sbom::{MAX_COMPONENTS, MAX_FIELD, Sbom, SbomFile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(sbom) = Sbom::parse(data) {
        assert!(sbom.components().len() <= 2 * MAX_COMPONENTS);
        let texts = |c: &firmware_verifier::sbom::Component| {
            let all = [Some(&c.name), c.version.as_ref(), c.purl.as_ref(), c.cpe.as_ref(), c.supplier.as_ref()];
            all.into_iter().flatten().all(|text| text.len() <= MAX_FIELD)
        };
        assert!(sbom.components().iter().chain(sbom.image()).all(texts));
    }
    match SbomFile::parse(data.to_vec(), None) {
        Ok(file) => assert_eq!(SbomFile::parse(data.to_vec(), None), Ok(file)),
        Err(error) => assert!(error.rejection().to_string().starts_with("HG-3002")),
    }
});
