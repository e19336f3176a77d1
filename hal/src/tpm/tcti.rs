//! Where the TPM is.

use std::net::Ipv4Addr;

use super::error::TpmError;

/// Longest text taken.
const TEXT_MAX: usize = 64;

/// A way to a TPM, in the words of libtss2's TCTI loader; only two kinds are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tcti {
    /// A kernel device: `device:/dev/tpmrm0`, or `device:/dev/tpm0` without the kernel's resource manager.
    Device {
        /// The name below `/dev/`: `tpm` or `tpmrm` and a number.
        name: String,
    },
    /// A software TPM on this machine: `swtpm:host=127.0.0.1,port=2321`. Its control port is `port` + 1.
    Swtpm {
        /// A loopback address: the commands to a software TPM are not protected.
        host: Ipv4Addr,
        /// Data port, 1 to 65534.
        port: u16,
    },
}

impl Tcti {
    /// Whether a resource manager keeps users of this TPM apart and cleans up after them.
    pub fn has_resource_manager(&self) -> bool {
        matches!(self, Tcti::Device { name } if name.starts_with("tpmrm"))
    }
}

impl std::fmt::Display for Tcti {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Tcti::Device { name } => write!(f, "device:/dev/{name}"),
            Tcti::Swtpm { host, port } => write!(f, "swtpm:host={host},port={port}"),
        }
    }
}

impl std::str::FromStr for Tcti {
    type Err = TpmError;
    fn from_str(text: &str) -> Result<Tcti, TpmError> {
        let tcti = if text.len() > TEXT_MAX { None } else { device(text).or_else(|| swtpm(text)) };
        tcti.ok_or_else(|| TpmError::Malformed {
            what: "tcti",
            found: format!("{:?}", text.chars().take(TEXT_MAX).collect::<String>()),
            expected: "device:/dev/tpmrm0 or swtpm:host=127.0.0.1,port=2321 (a loopback address)",
        })
    }
}

fn device(text: &str) -> Option<Tcti> {
    let name = text.strip_prefix("device:/dev/")?;
    let number = name.strip_prefix("tpmrm").or_else(|| name.strip_prefix("tpm"))?;
    let whole = (1..=3).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    whole.then(|| Tcti::Device { name: name.to_owned() })
}

fn swtpm(text: &str) -> Option<Tcti> {
    let (host, port) = text.strip_prefix("swtpm:host=")?.split_once(",port=")?;
    let host = host.parse::<Ipv4Addr>().ok().filter(Ipv4Addr::is_loopback)?;
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    let port = port.parse::<u16>().ok().filter(|port| digits && (1..u16::MAX).contains(port))?;
    Some(Tcti::Swtpm { host, port })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn two_forms_are_taken_and_printed_back() {
        for text in [
            "device:/dev/tpmrm0",
            "device:/dev/tpm0",
            "device:/dev/tpmrm12",
            "swtpm:host=127.0.0.1,port=2321",
        ] {
            assert_eq!(text.parse::<Tcti>().unwrap().to_string(), text);
        }
        assert!("device:/dev/tpmrm0".parse::<Tcti>().unwrap().has_resource_manager());
        assert!(!"device:/dev/tpm0".parse::<Tcti>().unwrap().has_resource_manager());
    }

    #[test]
    fn anything_else_is_refused_with_what_was_found() {
        for text in [
            "",
            "device:",
            "device:/dev/tpm",
            "device:/dev/tpmrm",
            "device:/dev/tpmrm0,x",
            "device:/dev/../x",
            "device:/dev/tpm0000",
            "device:/dev/sda",
            "cmd:sh -c id",
            "mssim:host=127.0.0.1,port=2321",
            "swtpm:host=127.0.0.1",
            "swtpm:host=10.0.0.1,port=2321",
            "swtpm:host=localhost,port=2321",
            "swtpm:host=127.0.0.1,port=0",
            "swtpm:host=127.0.0.1,port=65535",
            "swtpm:host=127.0.0.1,port=+1",
            "swtpm:host=127.0.0.1,port=2321,path=/x",
            "swtpm:path=/run/x",
            " device:/dev/tpmrm0",
        ] {
            let error = text.parse::<Tcti>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
        assert!("x".repeat(100_000).parse::<Tcti>().unwrap_err().to_string().len() < 300);
    }
}
