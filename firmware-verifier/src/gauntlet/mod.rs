//! The gauntlet: one image walks every stage in order, and the first one it fails decides.
//!
//! Bytes are absorbed as they arrive, in pieces of any size; nothing is kept of them. Later stages still
//! report what they can after a failure, so that one run shows everything there is to mend. Invariant: a
//! [`Verified`] is made here alone, after all stages, for the digest of exactly the bytes absorbed.

mod by_digest;
mod certified;
pub(crate) mod evidence;
mod head;
mod identity;
pub(crate) mod lane;
pub(crate) mod papers;
mod parts;
mod revocation;
mod rollback;
pub(crate) mod signer;
mod sigstore;
mod site;
pub(crate) mod verified;
mod vulnerabilities;

use hal::clock::Wall;
use hal::reason::ReasonCode;

use crate::digest::{Digest, DigestStream};
use crate::document::Signed;
use crate::identity::{ControllerIdentity, Observed, Product, Slot};
use crate::reasons;
use crate::sbom::{Sbom, SbomFile};
use crate::signature::SignatureFile;
use crate::trust::{Anchor, TrustStore};
use crate::verdict::{Basis, Evidence, Outcome, Rejection, Spend, Stage, Verdict, Verified, VerifierError};
use head::Head;
use lane::{Lane, lanes};
use papers::Papers;
use parts::Against;
use rollback::{Age, Ticket};
use signer::{Backing, SignerCheck};
use site::Known;

/// Largest image in bytes. Controller firmware is below 32 MiB; twice that leaves room.
pub const MAX_IMAGE: u64 = 64 * 1024 * 1024;

/// What is asked: may this image go there?
#[derive(Debug)]
pub struct Request {
    /// Where it shall go.
    pub slot: Slot,
    /// What the configuration says is there.
    pub product: Product,
    /// What the controller itself says it is, where it was read.
    pub identity: Option<Observed<ControllerIdentity>>,
    /// The signature that came along.
    pub signature: Option<SignatureFile>,
    /// The policy in force; the verdict counts under no other.
    pub policy_epoch: u64,
    /// The state in force; the verdict counts in no other.
    pub state_counter: u64,
    /// When the verdict stops counting.
    pub expires: Wall,
}

/// One image on its way.
pub struct Gauntlet {
    request: Request,
    papers: Papers,
    ticket: Ticket,
    store: TrustStore,
    now: Wall,
    len: u64,
    head: Head,
    digest: DigestStream,
    signer: SignerCheck,
}

impl Gauntlet {
    /// Starts a run with the trust store as it is now, for an image that comes with nothing else.
    pub fn new(request: Request, store: &TrustStore, now: Wall) -> Gauntlet {
        Gauntlet::with(request, Papers::default(), store, now)
    }

    /// Starts a run for an image and its papers. Documents are checked here, against the same trust store
    /// and time as everything else.
    pub fn with(mut request: Request, mut papers: Papers, store: &TrustStore, now: Wall) -> Gauntlet {
        let signatures = request.signature.take().into_iter().chain(papers.signatures.drain(..)).collect();
        let gateway = papers.gateway.as_str();
        let vouch = papers.vouch.take();
        let vouch = vouch.map(|envelope| Signed::countersigned(&envelope, store, gateway, now));
        let ticket = papers.downgrade.take().map(|envelope| match papers.downgrade_spent {
            false => Signed::open(&envelope, store, gateway, now),
            true => Signed::open_spent(&envelope, store, gateway, now),
        });
        let signer = SignerCheck::new(signatures, vouch, store, &request.product);
        let (store, digest) = (store.clone(), DigestStream::new());
        Gauntlet { request, papers, ticket, store, now, len: 0, head: Head::default(), digest, signer }
    }

    /// Takes the next bytes of the image. Beyond [`MAX_IMAGE`] they are counted, no longer hashed.
    pub fn absorb(&mut self, bytes: &[u8]) {
        self.absorb_with(bytes, |_, _| ());
    }

    /// As [`Gauntlet::absorb`]; `run` may run the two lanes of the work at the same time, the longer one
    /// first. What it leaves is done here.
    pub fn absorb_with<R>(&mut self, bytes: &[u8], run: impl FnOnce(&mut Lane<'_>, &mut Lane<'_>) -> R) -> R {
        self.len = self.len.saturating_add(bytes.len() as u64);
        self.head.absorb(bytes);
        let bytes = if self.len <= MAX_IMAGE { bytes } else { &[] };
        let (mut signature, mut digest) = lanes(bytes, &mut self.digest, self.signer.hashes());
        let result = run(&mut signature, &mut digest);
        signature.run();
        digest.run();
        result
    }

    /// The verdict on all bytes absorbed.
    pub fn finish(self) -> Verdict {
        let Gauntlet { mut request, mut papers, ticket, store, now, len, head, digest, signer } = self;
        let sbom = papers.sbom.take();
        let mut run =
            Run { digest: (len <= MAX_IMAGE).then(|| digest.finish()), evidence: vec![], first: None };
        run.record(Stage::Intake, intake(len, &head), None);
        let held = run.digest.map(|digest| (digest, signer.finish(&digest, now)));
        let revoked = held.as_ref().map(|(digest, held)| revocation::check(&store, digest, &held.signers));
        run.record(Stage::Revocation, revoked.unwrap_or_else(not_hashed), None);
        let (slot, product) = (&request.slot, &request.product);
        let signed = held.map(|(digest, held)| (digest, held.decide(&store, (slot, product), &digest, now)));
        run.record(Stage::Signature, signature(product, signed.as_ref().map(|(_, s)| s)), None);
        let age = request.identity.as_ref().and_then(|read| read.age_s(now));
        run.record(Stage::Identity, identity::check(product, request.identity.as_ref()), age);
        let leave =
            run.rollback(rollback::check(&papers, store.floor(product), &ticket, (slot, run.digest, now)));
        if let Some(leave) = leave.filter(|leave| leave.until.ms < request.expires.ms) {
            request.expires = leave.until;
        }
        let spends = leave.filter(|_| !papers.downgrade_spent);
        let sbom = run.sbom(sbom, papers.sbom_required, (&store, &request.slot, &request.product), now);
        let (stepped, told) = vulnerabilities::check(&papers, &request.product, sbom.as_ref(), now);
        let age = told.as_ref().and_then(|told| age_s(told.current, now));
        run.record(Stage::Vulnerabilities, stepped, age);
        let seen = (sbom.as_ref(), told.as_ref());
        run.policy(signed.as_ref(), seen, (&request, &papers), (len, now));
        match (run.first, signed) {
            (None, Some((digest, Ok(backing)))) => {
                match Verified::mint(digest, len, &backing, spends, &request) {
                    Some(verified) => Verdict::Verified(verified, run.evidence),
                    None => signer::no_signature().verdict(run.evidence),
                }
            }
            (Some(fault), _) | (None, Some((_, Err(fault)))) => fault.verdict(run.evidence),
            (None, None) => Verdict::Rejected(Rejection::from_size(len), run.evidence),
        }
    }
}

impl std::fmt::Debug for Gauntlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gauntlet").field("request", &self.request).field("len", &self.len).finish()
    }
}

/// Why a stage did not pass.
#[derive(Debug, Clone)]
enum Fault {
    Rejected(Rejection),
    Undecided(VerifierError),
}

impl Fault {
    fn verdict(self, evidence: Vec<Evidence>) -> Verdict {
        match self {
            Fault::Rejected(rejection) => Verdict::Rejected(rejection, evidence),
            Fault::Undecided(error) => Verdict::Undecided(error, evidence),
        }
    }
}

impl From<Rejection> for Fault {
    fn from(rejection: Rejection) -> Fault {
        Fault::Rejected(rejection)
    }
}

impl From<VerifierError> for Fault {
    fn from(error: VerifierError) -> Fault {
        Fault::Undecided(error)
    }
}

/// What a stage that passed has seen.
struct Finding {
    found: String,
    expected: String,
}

/// How a stage ended when nothing is wrong.
enum Seen {
    /// The rule holds.
    Passed(Finding),
    /// There was nothing to apply it to, and why; with a code where somebody may want to know more.
    NotDone(Finding, Option<ReasonCode>),
}

impl Seen {
    /// Nothing to apply the rule to: what is not there, or not configured.
    fn nothing(found: &str) -> Seen {
        Seen::NotDone(Finding { found: found.to_owned(), expected: String::new() }, None)
    }
}

/// A stage's end.
type Stepped = Result<Seen, Fault>;

/// The evidence so far, and the first fault.
struct Run {
    digest: Option<Digest>,
    evidence: Vec<Evidence>,
    first: Option<Fault>,
}

impl Run {
    fn record(&mut self, stage: Stage, stepped: Stepped, input_age_s: Option<u64>) {
        let (outcome, code, found, expected) = match &stepped {
            Ok(Seen::Passed(seen)) => (Outcome::Passed, None, seen.found.clone(), seen.expected.clone()),
            Ok(Seen::NotDone(seen, code)) => {
                (Outcome::NotDone, *code, seen.found.clone(), seen.expected.clone())
            }
            Err(Fault::Rejected(r)) => (Outcome::Failed, Some(r.code), r.found.clone(), r.expected.clone()),
            Err(Fault::Undecided(e)) => (Outcome::Undecided, Some(e.code()), e.to_string(), String::new()),
        };
        let input_digest = self.digest;
        self.evidence.push(Evidence { stage, outcome, code, found, expected, input_digest, input_age_s });
        if let (None, Err(fault)) = (&self.first, stepped) {
            self.first = Some(fault);
        }
    }

    /// Records the rollback stage; returns the ticket that passing uses up. A comparison that was not made
    /// is no pass, and has its code.
    fn rollback(&mut self, age: Result<Age, Fault>) -> Option<Spend> {
        let (stepped, spends) = match age {
            Ok(Age::Passed(seen)) => (Ok(Seen::Passed(seen)), None),
            Ok(Age::Downgraded(seen, spend)) => (Ok(Seen::Passed(seen)), Some(spend)),
            Ok(Age::NotCompared(seen)) => (Ok(Seen::NotDone(seen, Some(reasons::CANNOT_COMPARE))), None),
            Err(fault) => (Err(fault), None),
        };
        self.record(Stage::Rollback, stepped, None);
        spends
    }
}

impl Run {
    /// Records the SBOM stage. Without the image's digest there is nothing that a list could be of.
    fn sbom(
        &mut self,
        file: Option<SbomFile>,
        required: bool,
        (store, slot, product): (&TrustStore, &Slot, &Product),
        now: Wall,
    ) -> Option<Sbom> {
        let Some(image) = self.digest else {
            self.record(Stage::Sbom, not_hashed(), None);
            return None;
        };
        let (stepped, sbom) = parts::check(file, required, &Against { store, slot, product, image, now });
        let age = sbom.as_ref().and_then(Sbom::made).and_then(|made| age_s(made, now));
        self.record(Stage::Sbom, stepped, age);
        sbom
    }

    /// Records the policy stage. Of an image that fails anyhow the policy is not asked.
    fn policy(
        &mut self,
        signed: Option<&(Digest, Result<Backing, Fault>)>,
        (sbom, told): (Option<&Sbom>, Option<&vulnerabilities::Told>),
        (request, papers): (&Request, &Papers),
        (len, now): (u64, Wall),
    ) {
        let stepped = match (&papers.policy, signed, &self.first) {
            (Some(site), Some((image, Ok(backing))), None) => {
                let evidence = &self.evidence;
                let image = *image;
                let known = Known { request, papers, image, len, backing, sbom, told, evidence, now };
                site::check(site, &known)
            }
            (None, ..) => Ok(Seen::nothing("no policy is configured")),
            (Some(_), ..) => Ok(Seen::nothing("not asked: the image has failed another stage")),
        };
        self.record(Stage::Policy, stepped, None);
    }
}

/// Whole seconds since `made`, where the clock tells.
fn age_s(made: Wall, now: Wall) -> Option<u64> {
    if now.trusted { u64::try_from((now.ms - made.ms) / 1000).ok() } else { None }
}

/// Of an image that is over the size limit nothing is known that could be looked at.
fn not_hashed() -> Stepped {
    Ok(Seen::nothing("the image is not hashed: it is over the size limit"))
}

/// Size limits, and bytes that are something else that vendors sign.
fn intake(len: u64, head: &Head) -> Stepped {
    if len == 0 || len > MAX_IMAGE {
        return Err(Rejection::from_size(len).into());
    }
    if let Some(document) = head.document() {
        let expected = "a firmware image".to_owned();
        return Err(Rejection::new(reasons::IMAGE_IS_A_DOCUMENT, document.to_owned(), expected).into());
    }
    let expected = format!("1 to {MAX_IMAGE} bytes");
    Ok(Seen::Passed(Finding { found: format!("an image of {len} bytes"), expected }))
}

/// Words for who signed; nothing when the image was too large to be hashed.
fn signature(product: &Product, signed: Option<&Result<Backing, Fault>>) -> Stepped {
    let backing = match signed {
        None => return not_hashed(),
        Some(Err(fault)) => return Err(fault.clone()),
        Some(Ok(backing)) => backing,
    };
    let names: Vec<String> = backing.signers.iter().map(Anchor::to_string).collect();
    let names = names.join(" and ");
    Ok(Seen::Passed(match backing.basis {
        Basis::VendorSigned => Finding {
            found: format!("a good signature by {names}"),
            expected: format!("a signature by a key for {product}"),
        },
        Basis::SiteVouched => Finding {
            found: format!("site-vouched: no signature, and the word of {names}"),
            expected: "the word of the site for an image without a signature".to_owned(),
        },
    }))
}

impl Rejection {
    /// The rejection of an image that is empty or too large.
    fn from_size(len: u64) -> Rejection {
        let code = if len == 0 { reasons::IMAGE_EMPTY } else { reasons::IMAGE_TOO_LARGE };
        Rejection::new(code, format!("an image of {len} bytes"), format!("1 to {MAX_IMAGE} bytes"))
    }
}
