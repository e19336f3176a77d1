//! A maker of TPMs: `swtpm_setup` certifies endorsement keys with an authority of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes endorsement keys with certificates in the state of a TPM that does not run yet. The authority lies beside it:
/// its issuer's certificate is `ca/issuercert.pem` in `dir`.
pub fn certify(dir: &Path, state: &Path) {
    let ca = dir.join("ca");
    std::fs::create_dir(&ca).expect("a new folder");
    let put = |name: &str, text: String| {
        let path = ca.join(name);
        std::fs::write(&path, text).expect("writable");
        path.display().to_string()
    };
    let folder = ca.display();
    let conf = put(
        "localca.conf",
        format!(
            "statedir = {folder}\nsigningkey = {folder}/signkey.pem\nissuercert = {folder}/issuercert.pem\n\
             certserial = {folder}/certserial\n"
        ),
    );
    let model = "--platform-manufacturer Headgate\n--platform-version 1\n--platform-model Bench\n";
    let options = put("localca.options", model.to_owned());
    let setup = put(
        "setup.conf",
        format!(
            "create_certs_tool = {}\ncreate_certs_tool_config = {conf}\ncreate_certs_tool_options = {options}\n",
            tool("swtpm_localca").display()
        ),
    );
    let mut command = Command::new("swtpm_setup");
    command.args(["--tpm2", "--createek", "--create-ek-cert", "--lock-nvram", "--overwrite"]);
    command.args(["--pcr-banks", "sha256", "--vmid", "bench", "--config", &setup, "--tpm-state"]).arg(state);
    // The default is a user of its own, which only root can become.
    if rustix::process::geteuid().is_root() {
        command.args(["--runas", "root"]);
    }
    let output = command.output().expect("swtpm_setup: deploy/setup.sh installs it");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

fn tool(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").expect("a PATH");
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.exists());
    found.unwrap_or_else(|| panic!("{name}: deploy/setup.sh installs it"))
}
