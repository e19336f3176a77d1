//! The vendor of the benches' firmware: a key that OpenSSL makes, and signatures by it.

use crate::peers::run;
use crate::{Bench, digest};

impl Bench {
    /// Makes a vendor's Ed25519 key with OpenSSL and trusts it for acme's px-200.
    pub fn trust_acme(&self) {
        self.openssl(&["genpkey", "-algorithm", "ed25519", "-out", "acme.pem"]);
        self.openssl(&["pkey", "-in", "acme.pem", "-pubout", "-out", "acme.pub"]);
        self.headgate(&[
            "trust", "add", "acme.pub", "--name", "acme", "--vendor", "acme", "--model", "px-200",
        ]);
    }

    /// Signs an image with OpenSSL and stages it; gives its digest.
    pub fn stage(&self, name: &str, image: &[u8], plc: &str) -> String {
        self.write(name, image);
        let sig = format!("{name}.sig");
        self.openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", "acme.pem", "-in", name, "-out", &sig]);
        self.headgate(&["stage", name, "--plc", plc]);
        gateway::vault::hex(&digest(image))
    }

    /// As [`Bench::stage`], and releases it.
    pub fn release(&self, name: &str, image: &[u8], plc: &str) -> String {
        let digest = self.stage(name, image, plc);
        self.headgate(&["release", &digest, "--plc", plc]);
        digest
    }

    /// Runs OpenSSL in the folder of the bench.
    pub fn openssl(&self, args: &[&str]) {
        let said = run(self.dir.path(), "openssl", args);
        assert_eq!(said.code, 0, "openssl {args:?}: {}", said.text);
    }
}
