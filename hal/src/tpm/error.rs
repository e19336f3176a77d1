//! What can go wrong when the TPM is asked, in the TPM's own numbers and in words.
//!
//! A response code carries the layer that spoke in bits 16 to 23. A resource manager relabels the codes it
//! passes on, so every comparison here is on the base code ([`Code::base`]), never on the raw number.

use super::approval::ApprovalRefused;
use super::policy::Name;
use super::quote::QuoteRefused;

/// A raw `TSS2_RC`, with its names. TPM 2.0 Library Part 2 §6.6, TCG TSS 2.0 Overview §4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub u32);

/// TPM2_Unseal: the session's policy is not the object's.
pub const RC_POLICY_FAIL: u32 = 0x09d;
/// A policy assertion is false, such as an epoch that has moved on.
pub const RC_POLICY: u32 = 0x126;
/// A PCR was extended between the policy and its use.
pub const RC_PCR_CHANGED: u32 = 0x128;
/// A value is out of range or does not match; from TPM2_PolicyAuthorize: this policy was not approved.
pub const RC_VALUE: u32 = 0x084;
/// A blob was made by another TPM or under another parent.
pub const RC_INTEGRITY: u32 = 0x09f;
/// A signature does not verify.
pub const RC_SIGNATURE: u32 = 0x09b;
/// Nothing lives at the handle.
pub(super) const RC_HANDLE: u32 = 0x08b;
/// The NV index or persistent handle is taken.
const RC_NV_DEFINED: u32 = 0x14c;
/// A counter was read before its first increment.
const RC_NV_UNINITIALIZED: u32 = 0x14a;
/// ESYS: an answer in a session does not carry the session's authorization (TSS 2.0 Overview §4).
const ESYS_RSP_AUTH_FAILED: u32 = 0x0007_001b;
const RC_YIELDED: u32 = 0x908;
const RC_RETRY: u32 = 0x922;

/// Base code, TPM_RC name, meaning.
const KNOWN: [(u32, &str, &str); 25] = [
    (RC_POLICY_FAIL, "TPM_RC_POLICY_FAIL", "the boot state is not an approved one"),
    (RC_POLICY, "TPM_RC_POLICY", "the approval is for another epoch: it was revoked or is not yet valid"),
    (RC_PCR_CHANGED, "TPM_RC_PCR_CHANGED", "a PCR was extended while the policy ran"),
    (RC_VALUE, "TPM_RC_VALUE", "a value is out of range or not the one expected"),
    (RC_INTEGRITY, "TPM_RC_INTEGRITY", "the blob was made by another TPM or under another storage key"),
    (RC_SIGNATURE, "TPM_RC_SIGNATURE", "the signature does not verify"),
    (RC_HANDLE, "TPM_RC_HANDLE", "nothing is stored at this handle"),
    (RC_NV_DEFINED, "TPM_RC_NV_DEFINED", "the handle is already taken"),
    (RC_NV_UNINITIALIZED, "TPM_RC_NV_UNINITIALIZED", "the counter was never incremented"),
    (RC_YIELDED, "TPM_RC_YIELDED", "the TPM gave way to other work"),
    (RC_RETRY, "TPM_RC_RETRY", "the TPM is busy, ask again"),
    (0x082, "TPM_RC_ATTRIBUTES", "the attributes do not allow this"),
    (0x08e, "TPM_RC_AUTH_FAIL", "the authorization value is wrong, and it was counted"),
    (0x0a2, "TPM_RC_BAD_AUTH", "the authorization value is wrong"),
    (0x095, "TPM_RC_SIZE", "a structure has the wrong size"),
    (0x0a0, "TPM_RC_TICKET", "the ticket was not made by this TPM since it started"),
    (0x100, "TPM_RC_INITIALIZE", "the TPM was not started"),
    (0x101, "TPM_RC_FAILURE", "the TPM is in failure mode"),
    (0x120, "TPM_RC_DISABLED", "the command is disabled"),
    (0x12f, "TPM_RC_AUTH_UNAVAILABLE", "the object does not take this kind of authorization"),
    (0x149, "TPM_RC_NV_AUTHORIZATION", "the index does not take this authorization"),
    (0x902, "TPM_RC_OBJECT_MEMORY", "no free object slot: other users of the TPM hold them all"),
    (0x903, "TPM_RC_SESSION_MEMORY", "no free session slot: other users of the TPM hold them all"),
    (0x920, "TPM_RC_NV_RATE", "the TPM holds writes back to spare its memory, ask again later"),
    (0x921, "TPM_RC_LOCKOUT", "the TPM is locked out after wrong authorizations"),
];

impl Code {
    /// Who spoke: 0 the TPM, 7 ESYS, 8 SYS, 9 marshalling, 10 the transport, 11 and 12 a resource manager.
    pub const fn layer(self) -> u32 {
        (self.0 >> 16) & 0xff
    }

    /// The TPM's code without layer, session, handle or parameter number; the low 16 bits for other layers.
    pub const fn base(self) -> u32 {
        let low = self.0 & 0xffff;
        // Part 2 §6.6.2: format one has bit 7 set, bit 6 says "parameter", bits 8 to 11 number it.
        if self.from_tpm() && low & 0x80 != 0 { low & 0xbf } else { low }
    }

    /// Whether the TPM said it, directly or through a resource manager.
    pub const fn from_tpm(self) -> bool {
        let low = self.0 & 0xffff;
        matches!(self.layer(), 0 | 11 | 12) && (low >= 0x100 || low & 0x80 != 0)
    }

    /// The name in Part 2, or who spoke when the code is not in the table.
    pub fn name(self) -> &'static str {
        match self.known() {
            Some((_, name, _)) => name,
            None => match self.layer() {
                0 | 11 | 12 => "TPM_RC",
                7 => "TSS2_ESYS_RC",
                8 => "TSS2_SYS_RC",
                9 => "TSS2_MU_RC",
                10 => "TSS2_TCTI_RC",
                _ => "TSS2_RC",
            },
        }
    }

    /// What the code means here, in words for an operator.
    pub fn meaning(self) -> &'static str {
        match self.known() {
            Some((_, _, meaning)) => meaning,
            None if self.layer() == 10 => "the TPM cannot be reached",
            None if self.0 == ESYS_RSP_AUTH_FAILED => {
                "the answer is not this TPM's to this command: somebody stands between"
            }
            None if self.is_stale() => "the TPM was restarted: its sessions are gone",
            None => "see TPM 2.0 Library Part 2 section 6.6",
        }
    }

    /// Whether asking again may help: PCR_CHANGED, RETRY, YIELDED.
    pub const fn is_passing(self) -> bool {
        self.from_tpm() && matches!(self.base(), RC_PCR_CHANGED | RC_RETRY | RC_YIELDED)
    }

    /// Whether the context must be rebuilt: the transport failed, or handles are from before a restart.
    pub const fn loses_context(self) -> bool {
        // 0x00070007: ESYS was left in the middle of a command.
        self.layer() == 10 || self.0 == 0x0007_0007 || self.is_stale()
    }

    /// REFERENCE_H0 to REFERENCE_S6.
    const fn is_stale(self) -> bool {
        self.from_tpm() && matches!(self.base(), 0x910..=0x91e)
    }

    fn known(self) -> Option<&'static (u32, &'static str, &'static str)> {
        KNOWN.iter().find(|(base, ..)| self.from_tpm() && *base == self.base())
    }
}

/// The TPM, or the way to it, did not do what was asked. Every variant means: do not trust, fail closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TpmError {
    /// The TPM or a layer of libtss2 answered with an error.
    #[error("{command} answered {:#010x} {}: {meaning}", code, Code(*code).name())]
    Answered {
        /// The command, as Part 3 names it.
        command: &'static str,
        /// The raw `TSS2_RC`; see [`Code`].
        code: u32,
        /// What it means for this command.
        meaning: &'static str,
    },
    /// The PCR reads all zero or all ones: nobody measured into it, so sealing to it would seal to nothing.
    #[error("PCR {index} reads {}: the boot chain measures nothing into it; choose another PCR or enable measured boot", if *.ones { "all ones" } else { "all zero" })]
    PcrUnset {
        /// Number of the PCR.
        index: u8,
        /// True for all ones, false for all zero.
        ones: bool,
    },
    /// The storage key at 0x81000001 is not the one pinned at provisioning, or somebody stands in between.
    #[error(
        "the storage key's Name is {found}, expected {expected}: another TPM, a cleared TPM or an interposer"
    )]
    SrkChanged {
        /// The Name pinned at provisioning.
        expected: Box<Name>,
        /// The Name of the public key a session would be salted to; `None` when the handle is empty.
        found: Found,
    },
    /// The epoch counter at 0x01801000 is not the one provisioned.
    #[error("the epoch counter's Name is {found}, expected {expected}: it was removed or redefined")]
    EpochChanged {
        /// The Name provisioned, or the one this layer would define.
        expected: Box<Name>,
        /// The Name found; `None` when the index does not exist.
        found: Found,
    },
    /// The record was written before there was such a thing in it.
    #[error("the provisioning record holds no {0}: it was written by an older version; provision again")]
    NotProvisioned(&'static str),
    /// The state counter at 0x01801001 does not exist.
    #[error(
        "the state counter does not exist, expected Name {expected}: it was undefined, or the TPM was cleared"
    )]
    StateMissing {
        /// The Name pinned at provisioning.
        expected: Box<Name>,
    },
    /// Something else lives at 0x01801001, or the state counter was defined anew and never incremented.
    #[error("the state counter's Name is {found}, expected {expected}: it was redefined")]
    StateRedefined {
        /// The Name pinned at provisioning.
        expected: Box<Name>,
        /// The Name found.
        found: Box<Name>,
    },
    /// The state counter has not come as far as the state says: the last increment is missing, or the state
    /// is from elsewhere.
    #[error("the state counter is {found}, behind the expected {expected}: an increment is missing")]
    StateBehind {
        /// The counter's value.
        found: u64,
        /// What the caller's state says.
        expected: u64,
    },
    /// The state counter is further than the state says: the state is an old one put back, or somebody else
    /// incremented or redefined the counter.
    #[error(
        "the state counter is {found}, ahead of the expected {expected}: the state is an old one, or somebody else moved the counter"
    )]
    StateAhead {
        /// The counter's value.
        found: u64,
        /// What the caller's state says.
        expected: u64,
    },
    /// The TPM's signature does not verify under the key that should have made it.
    #[error("the TPM's signature does not verify under {0}")]
    BadSignature(&'static str),
    /// A quote or certification of the TPM itself was refused.
    #[error("the TPM's own statement was refused: {0}")]
    Quote(#[from] QuoteRefused),
    /// No approval opened the seal.
    #[error("none of {offered} approvals opens the {what} ({tried} tried){}; the last: {last}", Changed(.pcrs_changed))]
    NoApproval {
        /// What was to be opened.
        what: &'static str,
        /// Approvals handed in.
        offered: usize,
        /// Approvals the TPM was asked about; the rest were refused in software.
        tried: usize,
        /// PCRs that differ from the approval that came last; empty when none was tried.
        pcrs_changed: Vec<u8>,
        /// Why the last one failed, the TPM's own answer where it was asked.
        last: Box<TpmError>,
    },
    /// An approval was refused before the TPM was asked.
    #[error("approval refused: {0}")]
    Approval(#[from] ApprovalRefused),
    /// The proof unsealed another key than the one held.
    #[error("the TPM unsealed another key than the one held")]
    KeyDiffers,
    /// No answer in time. Nothing is decided, and a command under way may still take effect.
    #[error("no answer from the TPM within {0:?}")]
    Timeout(std::time::Duration),
    /// Too many requests wait already.
    #[error("the TPM is busy: {0} requests wait already")]
    Busy(usize),
    /// The TPM thread has ended.
    #[error("the TPM thread has ended")]
    Gone,
    /// Something returned by the TPM or read from disk has the wrong form.
    #[error("{what}: found {found}, expected {expected}")]
    Malformed {
        /// What was looked at.
        what: &'static str,
        /// What it was.
        found: String,
        /// What it should have been.
        expected: &'static str,
    },
    /// The cryptographic library refused (no entropy, for one).
    #[error("{0} failed in the cryptographic library")]
    Crypto(&'static str),
    /// The hook around TPM writes stopped here; only tests do this.
    #[error("stopped at {0}")]
    Stopped(super::Step),
    /// The machine refused a thread.
    #[error("cannot start the TPM thread: {0}")]
    Thread(#[source] std::io::Error),
}

impl TpmError {
    /// An answer of `command`, with its meaning.
    pub(super) fn answered(command: &'static str, code: u32) -> TpmError {
        let meaning = match (command, Code(code).base()) {
            // The session's digest is PolicyPCR AND PolicyNV over what is true now.
            ("TPM2_PolicyAuthorize", RC_VALUE) => "the boot state is not an approved one",
            ("TPM2_ActivateCredential", RC_INTEGRITY) => "the credential is for another key, or was changed",
            _ => Code(code).meaning(),
        };
        TpmError::Answered { command, code, meaning }
    }

    /// The TPM's own code, where there is one; of the last approval for [`TpmError::NoApproval`].
    pub fn code(&self) -> Option<Code> {
        match self {
            TpmError::Answered { code, .. } => Some(Code(*code)),
            TpmError::NoApproval { last, .. } => last.code(),
            _ => None,
        }
    }

    /// Whether this is the TPM's answer with the base code `base`.
    pub fn is(&self, base: u32) -> bool {
        self.code().is_some_and(|code| code.from_tpm() && code.base() == base)
    }

    /// Whether the machine could not tell, as opposed to an answer that says no.
    pub fn is_undecided(&self) -> bool {
        match self {
            TpmError::Timeout(_) | TpmError::Busy(_) | TpmError::Gone | TpmError::Thread(_) => true,
            _ => self.code().is_some_and(Code::loses_context),
        }
    }
}

/// A Name, or nothing at the handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found(pub Option<Box<Name>>);

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(name) => name.fmt(f),
            None => f.write_str("absent"),
        }
    }
}

/// Prints `, PCR 4, 7 differ from the approved ones`.
struct Changed<'a>(&'a [u8]);

impl std::fmt::Display for Changed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let list: Vec<String> = self.0.iter().map(u8::to_string).collect();
        write!(f, ", PCR {} not as last approved", list.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_matched_on_their_base_whatever_layer_relabels_them() {
        for (raw, base, name) in [
            (0x99d, RC_POLICY_FAIL, "TPM_RC_POLICY_FAIL"),
            (0x1c4, RC_VALUE, "TPM_RC_VALUE"),
            (0x4c4, RC_VALUE, "TPM_RC_VALUE"),
            (0x1df, RC_INTEGRITY, "TPM_RC_INTEGRITY"),
            (0x2db, RC_SIGNATURE, "TPM_RC_SIGNATURE"),
            (0x18b, RC_HANDLE, "TPM_RC_HANDLE"),
            (0x126, RC_POLICY, "TPM_RC_POLICY"),
            (0x128, RC_PCR_CHANGED, "TPM_RC_PCR_CHANGED"),
            (0x3e0, 0x0a0, "TPM_RC_TICKET"),
            (0x9a2, 0x0a2, "TPM_RC_BAD_AUTH"),
            (0x2d5, 0x095, "TPM_RC_SIZE"),
            (0x000b_0903, 0x903, "TPM_RC_SESSION_MEMORY"),
            (0x000b_099d, RC_POLICY_FAIL, "TPM_RC_POLICY_FAIL"),
            (0x000a_000a, 0x00a, "TSS2_TCTI_RC"),
            (0x0007_000b, 0x00b, "TSS2_ESYS_RC"),
        ] {
            assert_eq!((Code(raw).base(), Code(raw).name()), (base, name), "{raw:#x}");
        }
    }

    #[test]
    fn the_text_names_command_code_and_meaning() {
        assert_eq!(
            TpmError::answered("TPM2_Unseal", 0x99d).to_string(),
            "TPM2_Unseal answered 0x0000099d TPM_RC_POLICY_FAIL: the boot state is not an approved one"
        );
    }

    #[test]
    fn a_lost_transport_or_a_restarted_tpm_loses_the_context() {
        for raw in [0x000a_000a, 0x910, 0x918, 0x000b_0918, 0x0007_0007] {
            assert!(Code(raw).loses_context(), "{raw:#x}");
        }
        for raw in [0x99d, 0x126, 0x903, 0x90f] {
            assert!(!Code(raw).loses_context(), "{raw:#x}");
        }
    }
}
