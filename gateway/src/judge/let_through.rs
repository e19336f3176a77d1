//! What was known of an image when it was let through: gathered then, for the receipt that is made later.

use firmware_verifier::Basis;
use firmware_verifier::verdict::Signer as Who;
use serde::{Deserialize, Serialize};

use super::Judge;
use super::held::ApproverRow;
use super::mint::POLICY_EPOCH;
use super::receipt::{sha256, word};
use super::stated::Stated;
use crate::receipt::record::{Approver, BrokenGlass, Signer, Stage, Terms, Window};
use crate::receipt::statement::{Resource, Sha256};
use crate::receipt::{MAX_APPROVERS, MAX_STAGES, MAX_STATIONS, plain};
use crate::state::case::{self, CaseNumber};
use crate::state::{receipt, release};
use crate::transfer::image::{Released, Warrant};
use crate::vault::{self, Area};

/// What was known when an image was let through.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LetThrough {
    pub(super) name: String,
    pub(super) len: u64,
    pub(super) verified: String,
    /// Who signed the image, or vouches for it; nobody where the glass was broken.
    pub(super) signer: Option<Signer>,
    #[serde(default)]
    others: Vec<Signer>,
    /// Absent in what an earlier version wrote: it knew signed images only.
    #[serde(default)]
    pub(super) basis: Option<Basis>,
    /// The document that let it in, or on, without a verdict.
    #[serde(default)]
    pub(super) break_glass: Option<BrokenGlass>,
    /// Of a program, which nobody verifies: who let it in, and how it differs from the one before.
    #[serde(default)]
    pub(super) program: Option<String>,
    pub(super) attestations: Vec<Resource>,
    pub(super) stages: Vec<Stage>,
    pub(super) release: Option<Terms>,
    pub(super) policy_epoch: u64,
    pub(super) configuration: Sha256,
    /// What was stated of the image. Absent in what an earlier version wrote.
    #[serde(default)]
    pub(super) stated: Option<Stated>,
}

impl LetThrough {
    pub(super) fn is_vouched(&self) -> bool {
        self.basis == Some(Basis::SiteVouched)
    }

    /// Who vouches for an image that nobody signed.
    pub(super) fn vouchers(&self) -> Vec<Signer> {
        let all = self.signer.iter().chain(&self.others);
        all.filter(|_| self.is_vouched()).cloned().collect()
    }
}

impl Judge {
    /// Says so where the image that was let into a controller last was not signed by its vendor.
    pub(super) fn vouched_words(&self, plc: &str) -> Option<String> {
        let (number, known) = self.last_let_through(plc)?;
        let names: Vec<String> = known.vouchers().into_iter().map(|s| s.name).collect();
        known.is_vouched().then(|| format!("{number}: site-vouched, not signed: by {}", names.join(" and ")))
    }

    /// Says so where nobody had verified what was let into a controller last.
    pub(super) fn not_verified_words(&self, plc: &str) -> Option<String> {
        let (number, known) = self.last_let_through(plc)?;
        if let Some(program) = known.program {
            return Some(format!("{number}: {program}"));
        }
        let BrokenGlass { id, action, reason } = known.break_glass?;
        Some(format!("{number}: NOT VERIFIED: break-glass {id} ({action}): {reason}"))
    }

    /// What was stated of the image of a case when it was let through.
    pub(super) fn stated_in(&self, case: CaseNumber) -> Option<Stated> {
        self.known_of(case)?.stated
    }

    /// The version that the image of a case was verified with; none where nobody verified it.
    pub(super) fn verified_version(&self, case: CaseNumber) -> Option<String> {
        let known = self.known_of(case)?;
        let verified = known.break_glass.is_none() && known.program.is_none();
        known.stated.filter(|_| verified)?.version
    }

    /// Whether the image of a case was let in, or on, without a verdict.
    pub(super) fn is_unverified(&self, case: CaseNumber) -> bool {
        self.known_of(case).is_some_and(|known| known.break_glass.is_some())
    }

    fn last_let_through(&self, plc: &str) -> Option<(CaseNumber, LetThrough)> {
        let number = case::last_done(&self.db.rows(), plc).ok().flatten()?;
        Some((number, self.known_of(number)?))
    }

    fn known_of(&self, case: CaseNumber) -> Option<LetThrough> {
        let known = receipt::get(&self.db.rows(), case).ok().flatten()?.verdict?;
        serde_json::from_str(&known).ok()
    }

    /// What is known of an image that is let through. Its caller writes it where the release is used.
    pub(super) fn let_through(&self, plc: &str, released: &Released) -> String {
        let digest = *released.warrant.digest().as_bytes();
        let sidecar = self.vault.sidecar(Area::Vault, &digest).unwrap_or_default();
        let attestation = |(role, file): (&String, &vault::Attached)| Resource {
            uri: plain(&format!("headgate:{role}")),
            digest: sha256(&file.0),
        };
        let stage = |e: &firmware_verifier::Evidence| Stage {
            stage: word(&e.stage),
            outcome: word(&e.outcome),
            code: e.code.map(|code| code.to_string()),
            found: plain(&e.found),
            expected: plain(&e.expected),
            input_age_seconds: e.input_age_s,
        };
        let verified = match &released.warrant {
            Warrant::Verified(verified) => Some(verified),
            Warrant::Recorded(_) | Warrant::BreakGlass(_) => None,
        };
        let program = match &released.warrant {
            Warrant::Recorded(recorded) => {
                Some(plain(&format!("{}; {}", recorded.backing(), self.difference(plc, &digest))))
            }
            Warrant::Verified(_) | Warrant::BreakGlass(_) => None,
        };
        // Nobody verified the others by it.
        let asked = verified.and_then(|_| self.advisories.digest());
        let asked = asked.map(|digest| Resource {
            uri: "headgate:advisories".into(),
            digest: Sha256 { sha256: digest.to_hex() },
        });
        let others = verified.into_iter().flat_map(|v| v.signers().skip(1)).take(MAX_APPROVERS - 1);
        let release = release::get(&self.db.rows(), &digest, plc).ok().flatten();
        let known = LetThrough {
            name: plain(&sidecar.name),
            len: released.image.len(),
            verified: self.now().to_string(),
            signer: verified.map(|v| signer(v.signer())),
            others: others.map(signer).collect(),
            basis: verified.map(|v| v.basis()),
            break_glass: broken_glass(released),
            program,
            attestations: sidecar.attached.iter().map(attestation).chain(asked).collect(),
            stages: released.evidence.iter().take(MAX_STAGES).map(stage).collect(),
            release: release.map(|release| self.terms(release)),
            policy_epoch: verified.map_or(POLICY_EPOCH, |v| v.policy_epoch()),
            configuration: Sha256 { sha256: vault::hex(self.config.digest().as_bytes()) },
            stated: Some(Stated::from(&sidecar)),
        };
        serde_json::to_string(&known).unwrap_or_default()
    }

    /// A delivery that was let through before goes on without a verdict: what was known then stays, and this is added.
    pub(super) fn let_through_again(&mut self, case: CaseNumber, released: &Released) {
        let Some(mut known) = self.known_of(case) else { return };
        known.break_glass = broken_glass(released);
        let known = serde_json::to_string(&known).unwrap_or_default();
        let kept = self.db.write_with_reserve("keep a verdict", |tx| receipt::gather(tx, case, &known));
        self.log(kept);
    }

    /// On what terms an image was let through, and by whom.
    fn terms(&self, release: release::Release) -> Terms {
        let (held, approvers) = self.approvers(&release).ok().flatten().unzip();
        let approver = |a: ApproverRow| Approver { id: a.key, name: plain(&a.name), at: a.at.to_string() };
        let approvers = approvers.unwrap_or_default().into_iter().take(MAX_APPROVERS);
        let downgrade =
            self.downgrade_of(&release.plc, &release.digest).map(|id| format!("{id} (downgrade)"));
        let terms = release.terms;
        let tickets: Vec<String> = downgrade.into_iter().chain(terms.ticket).collect();
        Terms {
            by: if terms.by.is_empty() { "not known".into() } else { plain(&terms.by) },
            approvers: approvers.map(approver).collect(),
            held,
            given: release.created.to_string(),
            stations: terms.stations.iter().take(MAX_STATIONS).map(|s| plain(s)).collect(),
            ticket: Some(plain(&tickets.join(", "))).filter(|tickets| !tickets.is_empty()),
            window: terms.window.map(|w| Window { from: w.from.to_string(), to: w.to.to_string() }),
            uses: terms.uses,
            expires: terms.expires.to_string(),
        }
    }
}

fn signer(signer: &Who) -> Signer {
    Signer { id: signer.id.to_string(), name: plain(&signer.name) }
}

fn broken_glass(released: &Released) -> Option<BrokenGlass> {
    let Warrant::BreakGlass(unverified) = &released.warrant else { return None };
    Some(BrokenGlass {
        id: unverified.document().to_string(),
        action: unverified.action().name().into(),
        reason: plain(unverified.reason()),
    })
}
