//! A bench for TPM tests: one software TPM of its own per test, tpm2-tools beside it, a site key.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hal::tpm::swtpm::Swtpm;
use hal::tpm::{Approval, ApprovalRequest, Foreseen, Name, PcrSelection, Provisioned, SiteKey, Steps, Tpm};
use tempfile::TempDir;

/// Long enough for a loaded machine.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) struct Bench {
    pub(crate) swtpm: Swtpm,
    pub(crate) tpm: Tpm,
    pub(crate) site: SiteKey,
    pub(crate) dir: TempDir,
}

impl Bench {
    /// A TPM whose PCRs 0 and 7 were extended.
    pub(crate) fn measured() -> Bench {
        let bench = Bench::bare();
        bench.boot();
        bench
    }

    /// A TPM as it comes: every PCR zero.
    pub(crate) fn bare() -> Bench {
        Bench::prepared(|_| {})
    }

    /// A TPM whose state somebody has put into its folder first.
    pub(crate) fn prepared(prepare: impl FnOnce(&Path)) -> Bench {
        let dir = TempDir::new().unwrap();
        prepare(dir.path());
        let swtpm = Swtpm::start(dir.path()).expect("these tests need the packages swtpm and tpm2-tools");
        let tpm = Tpm::open(&swtpm.tcti()).unwrap();
        Bench { swtpm, tpm, site: SiteKey::generate().unwrap(), dir }
    }

    pub(crate) fn with_steps(&self, steps: Steps) -> Tpm {
        Tpm::open_with_steps(&self.swtpm.tcti(), steps).unwrap()
    }

    /// What the boot chain does: the same measurements at every start.
    pub(crate) fn boot(&self) {
        self.extend(0, 0x11);
        self.extend(7, 0x77);
    }

    pub(crate) fn extend(&self, pcr: u8, byte: u8) {
        self.tool("tpm2_pcrextend", &[&format!("{pcr}:sha256={}", format!("{byte:02x}").repeat(32))]);
    }

    pub(crate) fn pcrs(&self) -> PcrSelection {
        PcrSelection::new(&[0, 7]).unwrap()
    }

    pub(crate) fn provision(&self) -> (Provisioned, ApprovalRequest) {
        let made = self.tpm.provision(&self.site.public(), &self.pcrs(), "gate-1", LONG).unwrap();
        (made.provisioned, made.request)
    }

    /// Provisioned, with the present state approved.
    pub(crate) fn approved(&self) -> (Provisioned, Approval) {
        let (provisioned, request) = self.provision();
        (provisioned, self.site.sign(&request).unwrap())
    }

    /// The present state, approved.
    pub(crate) fn approve_now(&self, provisioned: &Provisioned) -> Approval {
        self.site
            .sign(&self.tpm.request_approval(provisioned, "gate-1", &Foreseen::default(), LONG).unwrap())
            .unwrap()
    }

    /// Runs a tool of tpm2-tools against this TPM, in the bench's directory, and returns its output.
    pub(crate) fn tool(&self, name: &str, args: &[&str]) -> String {
        let (ok, out) = self.try_tool(name, args);
        assert!(ok, "{name} {args:?}: {out}");
        out
    }

    pub(crate) fn try_tool(&self, name: &str, args: &[&str]) -> (bool, String) {
        let output = Command::new(name)
            .args(args)
            .current_dir(self.path())
            .env("TPM2TOOLS_TCTI", self.swtpm.tcti().to_string())
            .output()
            .unwrap_or_else(|error| panic!("these tests need tpm2-tools; {name}: {error}"));
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Derives the endorsement key of this kind (`rsa`, `ecc`) and writes its public area.
    pub(crate) fn make_ek(&self, kind: &str, public: &str) {
        self.tool("tpm2_createek", &["-Q", "-G", kind, "-c", "ek.ctx", "-u", public]);
        self.tool("tpm2_flushcontext", &["-t"]);
        self.tool("tpm2_flushcontext", &["-l"]);
    }

    /// A challenge for the endorsement key in the file `ek` and the key of this Name: TPM2B_ID_OBJECT and
    /// TPM2B_ENCRYPTED_SECRET.
    pub(crate) fn challenge(&self, ek: &str, secret: &[u8], name: &Name) -> (Vec<u8>, Vec<u8>) {
        std::fs::write(self.path().join("secret"), secret).unwrap();
        let name = name.to_string();
        let args = ["-Q", "-T", "none", "-u", ek, "-s", "secret", "-n", &name, "-o", "credential"];
        self.tool("tpm2_makecredential", &args);
        let file = std::fs::read(self.path().join("credential")).unwrap();
        // A magic number and a version of the tool's own, then the two structures.
        assert_eq!(file[..8], [0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1]);
        let len = 2 + usize::from(u16::from_be_bytes([file[8], file[9]]));
        (file[8..8 + len].to_vec(), file[8 + len..].to_vec())
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Handles of sessions and objects the TPM still holds.
    pub(crate) fn leftovers(&self) -> String {
        ["handles-transient", "handles-loaded-session", "handles-saved-session"]
            .iter()
            .map(|what| self.tool("tpm2_getcap", &[what]))
            .collect()
    }
}
