//! The reason codes of this crate: 1xxx signature and trust, 2xxx manifest and identity, 3xxx parts and weaknesses, 41xx
//! policy, 5xxx rollback.
//!
//! A code is never reused and never changes its meaning; a new one takes a free number. `headgate
//! explain`, the alarms and the docs are made from [`REASONS`].

mod inspection;

use hal::reason::{Reason, ReasonCode, Who};

pub use inspection::{
    CONTAINER_DAMAGED, INSPECTION_CRASHED, INSPECTION_ESCAPES, INSPECTION_TOO_LONG, INSPECTION_TOO_MUCH,
    NAME_LEADS_OUT, UNPACKS_TO_TOO_MUCH,
};

/// The image came without a signature.
pub const NO_SIGNATURE: ReasonCode = ReasonCode(1001);
/// The signature file is of no known kind.
pub const SIGNATURE_FORMAT_UNKNOWN: ReasonCode = ReasonCode(1002);
/// The signature is of an outdated kind.
pub const SIGNATURE_LEGACY: ReasonCode = ReasonCode(1003);
/// The signature file is of a known kind, but damaged.
pub const SIGNATURE_FILE_DAMAGED: ReasonCode = ReasonCode(1004);
/// A signed statement about the image that does not give it out.
pub const STATEMENT_OTHER_KIND: ReasonCode = ReasonCode(1005);
/// The signature is not one of this image.
pub const SIGNATURE_MISMATCH: ReasonCode = ReasonCode(1010);
/// The image's signature is good, its trusted comment's is not.
pub const TRUSTED_COMMENT_CHANGED: ReasonCode = ReasonCode(1011);
/// The signature is one that verifiers disagree about.
pub const SIGNATURE_NOT_STRICT: ReasonCode = ReasonCode(1012);
/// The log's entry beside the signature is of something else.
pub const LOG_ENTRY_ELSEWHERE: ReasonCode = ReasonCode(1013);
/// No trusted key made the signature.
pub const SIGNER_UNKNOWN: ReasonCode = ReasonCode(1020);
/// A trusted key made it, but not one for this product.
pub const SIGNER_NOT_ALLOWED: ReasonCode = ReasonCode(1021);
/// The signer's certificate is for something else than signing code.
pub const CERTIFICATE_PURPOSE: ReasonCode = ReasonCode(1022);
/// The signer's key is past its time.
pub const SIGNER_EXPIRED: ReasonCode = ReasonCode(1030);
/// The signer's key is before its time.
pub const SIGNER_NOT_YET_VALID: ReasonCode = ReasonCode(1031);
/// The image has no bytes.
pub const IMAGE_EMPTY: ReasonCode = ReasonCode(1040);
/// The image is over the size limit.
pub const IMAGE_TOO_LARGE: ReasonCode = ReasonCode(1041);
/// The image's bytes are those of a signed document.
pub const IMAGE_IS_A_DOCUMENT: ReasonCode = ReasonCode(1042);
/// Policy or state has changed since the verdict.
pub const VERDICT_OUTDATED: ReasonCode = ReasonCode(1050);
/// The verdict's time is over.
pub const VERDICT_EXPIRED: ReasonCode = ReasonCode(1051);
/// The time is needed and not known.
pub const CLOCK_UNTRUSTED: ReasonCode = ReasonCode(1060);
/// The revocation list of the signer's authority is past its time.
pub const LIST_EXPIRED: ReasonCode = ReasonCode(1062);
/// More keys would have to be tried than is allowed.
pub const TOO_MANY_CANDIDATES: ReasonCode = ReasonCode(1061);
/// The trust store cannot be opened.
pub const TRUST_STORE_UNREADABLE: ReasonCode = ReasonCode(1070);
/// A file given as a key is none.
pub const KEY_FILE_REFUSED: ReasonCode = ReasonCode(1071);
/// A private key was given.
pub const PRIVATE_KEY_GIVEN: ReasonCode = ReasonCode(1072);
/// A change of the trust store that cannot be made.
pub const TRUST_CHANGE_REFUSED: ReasonCode = ReasonCode(1073);
/// No anchor has the key that was named.
pub const ANCHOR_NOT_FOUND: ReasonCode = ReasonCode(1074);
/// A key signed that the site has revoked; nothing it signed counts any more.
pub const SIGNER_REVOKED: ReasonCode = ReasonCode(1080);
/// The site has revoked this image; it is refused whoever signed it.
pub const IMAGE_REVOKED: ReasonCode = ReasonCode(1081);
/// Good signatures are there, but of fewer distinct keys than are needed.
pub const SIGNERS_TOO_FEW: ReasonCode = ReasonCode(1082);
/// The site vouches for another image, or for other controllers.
pub const VOUCH_ELSEWHERE: ReasonCode = ReasonCode(1083);
/// The file is no document of the kind that is needed here, or not in its canonical form.
pub const DOCUMENT_UNREADABLE: ReasonCode = ReasonCode(1090);
/// No trusted key of the role that this kind needs has signed the document.
pub const DOCUMENT_NOT_SIGNED: ReasonCode = ReasonCode(1091);
/// The document names another gateway, so it says nothing here.
pub const DOCUMENT_ELSEWHERE: ReasonCode = ReasonCode(1092);
/// The document has expired, or was issued in the future.
pub const DOCUMENT_EXPIRED: ReasonCode = ReasonCode(1093);
/// The document was used as often as it may be.
pub const DOCUMENT_USED: ReasonCode = ReasonCode(1094);
/// A trust bundle that was applied already, or an older one, would undo what came later.
pub const BUNDLE_ROLLBACK: ReasonCode = ReasonCode(1095);
/// The controller is of another vendor.
pub const WRONG_VENDOR: ReasonCode = ReasonCode(2001);
/// The controller is of another model.
pub const WRONG_MODEL: ReasonCode = ReasonCode(2002);
/// No list of parts, where one is demanded.
pub const SBOM_MISSING: ReasonCode = ReasonCode(3001);
/// A list of parts that cannot be read.
pub const SBOM_UNREADABLE: ReasonCode = ReasonCode(3002);
/// A list of parts that nobody who may has signed.
pub const SBOM_NOT_SIGNED: ReasonCode = ReasonCode(3003);
/// A list of parts of something else.
pub const SBOM_ELSEWHERE: ReasonCode = ReasonCode(3004);
/// A source of advisories cannot be read.
pub const ADVISORY_UNREADABLE: ReasonCode = ReasonCode(3011);
/// An advisory is a draft.
pub const ADVISORY_DRAFT: ReasonCode = ReasonCode(3012);
/// An advisory contradicts itself.
pub const ADVISORY_CONTRADICTS: ReasonCode = ReasonCode(3013);
/// The advisory database cannot be read.
pub const ADVISORY_DATABASE_UNREADABLE: ReasonCode = ReasonCode(3014);
/// The site's policy is against it.
pub const POLICY_DENIES: ReasonCode = ReasonCode(4101);
/// The site's policy gave no answer.
pub const POLICY_UNDECIDED: ReasonCode = ReasonCode(4102);
/// The site's policy is against it, and such images are held.
pub const POLICY_HOLDS: ReasonCode = ReasonCode(4103);
/// The site's policy is past its time.
pub const POLICY_ENDED: ReasonCode = ReasonCode(4104);
/// The site's policy says nothing of it.
pub const POLICY_NO_MATCH: ReasonCode = ReasonCode(4105);
/// The image is below the security-version floor of its product, or older than what was accepted last.
pub const ROLLBACK: ReasonCode = ReasonCode(5001);
/// Nobody can tell whether the image is older than what is allowed.
pub const CANNOT_COMPARE: ReasonCode = ReasonCode(5002);

/// The row of `code`, when it is one of this crate.
pub fn reason(code: ReasonCode) -> Option<&'static Reason> {
    REASONS.iter().find(|reason| reason.code == code)
}

/// Every code of this crate, in order.
pub const REASONS: &[Reason] = &[
    Reason {
        code: NO_SIGNATURE,
        title: "no signature",
        meaning: "The image came without a signature, so nobody vouches for it.",
        cause: "The signature file was not given along, or the vendor does not sign.",
        next: "give the vendor's signature file along with the image",
        who: Who::Engineer,
        exit: 10,
    },
    Reason {
        code: SIGNATURE_FORMAT_UNKNOWN,
        title: "unknown signature format",
        meaning: "The file given as a signature is none of the kinds this version checks.",
        cause: "The wrong file was given, or the vendor signs in another format.",
        next: "give the detached signature itself, in one of the accepted forms",
        who: Who::Engineer,
        exit: 11,
    },
    Reason {
        code: SIGNATURE_LEGACY,
        title: "outdated signature format",
        meaning: "The signature is of an old kind: a minisign one that does not hash the image first, or a cosign bundle \
                  with a certificate that only the log can date.",
        cause: "It was made by minisign before 0.10 or with its legacy option, or by cosign before 3.",
        next: "have the image signed again with a current minisign or cosign",
        who: Who::Vendor,
        exit: 11,
    },
    Reason {
        code: SIGNATURE_FILE_DAMAGED,
        title: "damaged signature file",
        meaning: "The signature file is of a known kind, but cannot be read.",
        cause: "It was cut short or changed on the way, e.g. by an editor or a mail program.",
        next: "fetch the signature file again",
        who: Who::Engineer,
        exit: 11,
    },
    Reason {
        code: STATEMENT_OTHER_KIND,
        title: "statement releases nothing",
        meaning: "The statement about this image is signed well, but it is of a kind by which nobody gives an image out.",
        cause: "A list of parts or the result of a scan was given in the place of provenance.",
        next: "give the vendor's provenance or release statement, or a signature of the image itself",
        who: Who::Engineer,
        exit: 11,
    },
    Reason {
        code: SIGNATURE_MISMATCH,
        title: "signature does not match",
        meaning: "The signature is not one of this image by a trusted key.",
        cause: "The image was changed, the signature belongs to another image, or another key made it.",
        next: "compare the image's SHA-256 with the vendor's; fetch image and signature again",
        who: Who::Engineer,
        exit: 12,
    },
    Reason {
        code: TRUSTED_COMMENT_CHANGED,
        title: "trusted comment was changed",
        meaning: "The signature of the image is good, but the trusted comment beside it was changed.",
        cause: "Somebody edited the signature file.",
        next: "fetch the signature file again, and find out who changed it",
        who: Who::Engineer,
        exit: 12,
    },
    Reason {
        code: SIGNATURE_NOT_STRICT,
        title: "malformed signature value",
        meaning: "The signature's numbers are outside what a signing tool makes; verifiers disagree about it.",
        cause: "It was crafted or damaged.",
        next: "fetch the signature again; if it stays so, treat the image as hostile",
        who: Who::Vendor,
        exit: 12,
    },
    Reason {
        code: LOG_ENTRY_ELSEWHERE,
        title: "log entry of something else",
        meaning: "The bundle's entry of the transparency log is about another signature, image or key.",
        cause: "Somebody put together parts of different bundles, perhaps to make an image look witnessed.",
        next: "fetch the bundle again; if it stays so, ask the vendor, and treat the image as hostile",
        who: Who::Vendor,
        exit: 12,
    },
    Reason {
        code: SIGNER_UNKNOWN,
        title: "signer not known",
        meaning: "No trust anchor can have made this signature.",
        cause: "The vendor's key was never added, or the vendor uses a new one.",
        next: "check the key with the vendor by another way, then `headgate trust add` it",
        who: Who::Approver,
        exit: 13,
    },
    Reason {
        code: SIGNER_NOT_ALLOWED,
        title: "signer not allowed for this product",
        meaning: "The signature is good, but its key may not sign for this vendor and model.",
        cause: "The image is for another product, or the anchor's scope is too narrow.",
        next: "check that this is the image for this controller; if it is, have the scope widened",
        who: Who::Approver,
        exit: 13,
    },
    Reason {
        code: CERTIFICATE_PURPOSE,
        title: "certificate for another purpose",
        meaning: "The signer's certificate says what it is for, and signing code is not among it.",
        cause: "A certificate for mail or for servers was used, perhaps one that was stolen.",
        next: "have the image signed with a certificate for code signing",
        who: Who::Vendor,
        exit: 13,
    },
    Reason {
        code: SIGNER_EXPIRED,
        title: "signer's key expired",
        meaning: "The signature is good, but its key is no longer trusted.",
        cause: "The vendor has changed keys, or the anchor was not renewed.",
        next: "get the image signed with the current key, or have the anchor renewed",
        who: Who::Approver,
        exit: 14,
    },
    Reason {
        code: SIGNER_NOT_YET_VALID,
        title: "signer's key not yet valid",
        meaning: "The signature is good, but its key is trusted only from a later time.",
        cause: "A key was prepared for later, or the clock is behind.",
        next: "check the gateway's clock, or wait until the key is valid",
        who: Who::Integrator,
        exit: 14,
    },
    Reason {
        code: IMAGE_EMPTY,
        title: "image is empty",
        meaning: "The image has no bytes.",
        cause: "The download broke off, or the wrong file was given.",
        next: "fetch the image again",
        who: Who::Engineer,
        exit: 11,
    },
    Reason {
        code: IMAGE_TOO_LARGE,
        title: "image is too large",
        meaning: "The image is larger than any controller firmware this version takes.",
        cause: "The wrong file was given, or somebody tries to exhaust the gateway.",
        next: "check that this is the image for the controller",
        who: Who::Engineer,
        exit: 11,
    },
    Reason {
        code: IMAGE_IS_A_DOCUMENT,
        title: "image is a signed document",
        meaning: "The image consists of the bytes that are signed for a DSSE envelope or a CMS signature, or of a JSON document, not of firmware.",
        cause: "The wrong file was given, or somebody tries to pass the signature of something else off as that of an image.",
        next: "give the image itself; where this was it, find out where it came from, and treat it as hostile",
        who: Who::Engineer,
        exit: 11,
    },
    Reason {
        code: VERDICT_OUTDATED,
        title: "verdict is outdated",
        meaning: "Policy, trust or state has changed since the image was verified.",
        cause: "An approver changed something between verification and delivery.",
        next: "verify the image again",
        who: Who::Engineer,
        exit: 51,
    },
    Reason {
        code: VERDICT_EXPIRED,
        title: "verdict has expired",
        meaning: "The time for which the image was verified is over.",
        cause: "Delivery started too late.",
        next: "verify the image again",
        who: Who::Engineer,
        exit: 51,
    },
    Reason {
        code: CLOCK_UNTRUSTED,
        title: "clock not trusted",
        meaning: "Something depends on the time, and the gateway does not know it.",
        cause: "The clock was lost, or has jumped back.",
        next: "set the gateway's clock or mend its time source, then try again",
        who: Who::Integrator,
        exit: 70,
    },
    Reason {
        code: TOO_MANY_CANDIDATES,
        title: "too many keys for this product",
        meaning: "More keys may sign for this product than are tried for one image.",
        cause: "Old anchors were never removed, or many have a wide scope.",
        next: "remove anchors that are no longer used, or narrow their scopes",
        who: Who::Approver,
        exit: 70,
    },
    Reason {
        code: LIST_EXPIRED,
        title: "revocation list out of date",
        meaning: "The authority's revocation list is past its time, so nobody can tell whether the certificate still counts.",
        cause: "No newer list was imported.",
        next: "fetch the authority's current list and `headgate trust crl` it",
        who: Who::Integrator,
        exit: 70,
    },
    Reason {
        code: TRUST_STORE_UNREADABLE,
        title: "trust store cannot be opened",
        meaning: "The sealed trust store is missing, damaged, or of another gateway.",
        cause: "The disk is failing, a file was replaced, or the TPM is another one.",
        next: "restore the trust store from the backup of this gateway",
        who: Who::Integrator,
        exit: 71,
    },
    Reason {
        code: KEY_FILE_REFUSED,
        title: "not a usable public key",
        meaning: "The file given as a public key is none, or one that must not be trusted.",
        cause: "The wrong file was given, or a key of another algorithm.",
        next: "give the vendor's Ed25519 or minisign public key",
        who: Who::Approver,
        exit: 11,
    },
    Reason {
        code: PRIVATE_KEY_GIVEN,
        title: "a private key was given",
        meaning: "The file is a private key; it must never be on a gateway.",
        cause: "The wrong half of a key pair was copied.",
        next: "delete it here, consider the key exposed, and give the public half",
        who: Who::Approver,
        exit: 11,
    },
    Reason {
        code: TRUST_CHANGE_REFUSED,
        title: "trust store not changed",
        meaning: "The anchor is there already, cannot be made so, or the store is full.",
        cause: "The change was made before, or unused anchors were never removed.",
        next: "look at `headgate trust show`",
        who: Who::Approver,
        exit: 2,
    },
    Reason {
        code: ANCHOR_NOT_FOUND,
        title: "no such trust anchor",
        meaning: "No trust anchor has the key that was named.",
        cause: "The key id was mistyped, or the anchor was removed before.",
        next: "look at `headgate trust show`",
        who: Who::Approver,
        exit: 3,
    },
    Reason {
        code: SIGNER_REVOKED,
        title: "signer's key is revoked",
        meaning: "A key signed that the site has revoked; nothing it signed counts any more.",
        cause: "The key was stolen or lost, and the site said so in a trust bundle.",
        next: "get the image or document signed with a key that is not revoked",
        who: Who::Approver,
        exit: 14,
    },
    Reason {
        code: IMAGE_REVOKED,
        title: "image is revoked",
        meaning: "The site has revoked this image; it is refused whoever signed it.",
        cause: "The image has a known fault or hole, and the site said so in a trust bundle.",
        next: "use a newer image; `headgate trust show` gives the reason of the revocation",
        who: Who::Approver,
        exit: 14,
    },
    Reason {
        code: SIGNERS_TOO_FEW,
        title: "too few signers",
        meaning: "Good signatures are there, but of fewer distinct keys than are needed.",
        cause: "A signature file is missing, or one key signed twice.",
        next: "have the rest of the signers sign, and give all signatures along",
        who: Who::Approver,
        exit: 13,
    },
    Reason {
        code: VOUCH_ELSEWHERE,
        title: "not vouched for here",
        meaning: "The site vouches for another image, or for other controllers.",
        cause: "The wrong document was given, or the controller was added later.",
        next: "have the site vouch for this image and this controller",
        who: Who::Approver,
        exit: 13,
    },
    Reason {
        code: DOCUMENT_UNREADABLE,
        title: "signed document cannot be read",
        meaning: "The file is no document of the kind that is needed here, or not in its canonical form.",
        cause: "The wrong file was given, or it was edited after it was made.",
        next: "have the document made again with `headgate ticket` or the command it is for",
        who: Who::Approver,
        exit: 11,
    },
    Reason {
        code: DOCUMENT_NOT_SIGNED,
        title: "document not signed by a key that counts",
        meaning: "No trusted key of the role that this kind needs has signed the document.",
        cause: "It was changed after signing, or signed by somebody else.",
        next: "have it signed by a key of the right role; `headgate trust show` lists them",
        who: Who::Approver,
        exit: 13,
    },
    Reason {
        code: DOCUMENT_ELSEWHERE,
        title: "document for another gateway",
        meaning: "The document names another gateway, so it says nothing here.",
        cause: "It was made for another cell, or the gateway was renamed.",
        next: "have a document made for this gateway",
        who: Who::Approver,
        exit: 13,
    },
    Reason {
        code: DOCUMENT_EXPIRED,
        title: "document does not count now",
        meaning: "The document has expired, or was issued in the future.",
        cause: "It is old, or a clock is wrong.",
        next: "check the clocks, then have a new document signed",
        who: Who::Approver,
        exit: 14,
    },
    Reason {
        code: DOCUMENT_USED,
        title: "document used up",
        meaning: "The document was used as often as it may be.",
        cause: "It was given twice, or somebody replays it.",
        next: "have a new document signed; if nobody used the old one, find out who did",
        who: Who::Approver,
        exit: 14,
    },
    Reason {
        code: BUNDLE_ROLLBACK,
        title: "old trust bundle",
        meaning: "A trust bundle that was applied already, or an older one, would undo what came later.",
        cause: "The wrong file was given, or somebody tries to bring back a revoked key.",
        next: "give the bundle that follows the last one",
        who: Who::Approver,
        exit: 50,
    },
    Reason {
        code: WRONG_VENDOR,
        title: "controller of another vendor",
        meaning: "The controller says that it is of another vendor than the image is meant for.",
        cause: "The wrong controller was named, or a device was swapped.",
        next: "check the wiring and the controller's entry in the configuration",
        who: Who::Engineer,
        exit: 15,
    },
    Reason {
        code: WRONG_MODEL,
        title: "controller of another model",
        meaning: "The controller says that it is another model than the image is meant for.",
        cause: "The wrong image or controller was named, or a device was swapped.",
        next: "check the model on the nameplate, then the image and the configuration",
        who: Who::Engineer,
        exit: 15,
    },
    Reason {
        code: SBOM_MISSING,
        title: "image without an SBOM",
        meaning: "The image came without a list of its parts, which the zone of the controller demands.",
        cause: "The vendor's SBOM was not given along, or there is none.",
        next: "give the vendor's SBOM along (--sbom FILE), or ask the vendor for it",
        who: Who::Engineer,
        exit: 30,
    },
    Reason {
        code: SBOM_UNREADABLE,
        title: "SBOM cannot be read",
        meaning: "The file given as SBOM is of no form that is read, or damaged.",
        cause: "The wrong file was given, it is in another format, or its maker is at fault.",
        next: "give CycloneDX 1.4 to 1.6 in JSON as its signer wrote it",
        who: Who::Engineer,
        exit: 30,
    },
    Reason {
        code: SBOM_NOT_SIGNED,
        title: "SBOM not signed by who may sign the image",
        meaning: "A list of parts that nobody trusted has signed says nothing.",
        cause: "Its signature file was not given along, is of another file, or is by a key that may not sign for this product.",
        next: "give its signature along (--sbom-signature FILE), or leave the SBOM out where the zone allows it",
        who: Who::Engineer,
        exit: 30,
    },
    Reason {
        code: SBOM_ELSEWHERE,
        title: "SBOM of another image",
        meaning: "The list of parts is signed, and is not one of this image.",
        cause: "The SBOM of another version was given along, or the vendor's names no image at all.",
        next: "give the SBOM of exactly this image; ask the vendor to put its SHA-256 into metadata.component",
        who: Who::Engineer,
        exit: 30,
    },
    Reason {
        code: ADVISORY_UNREADABLE,
        title: "advisory cannot be read",
        meaning: "A file given as an advisory or catalogue is none, or not of the form that is read here.",
        cause: "Another file lies in the folder, or it was cut short.",
        next: "take the file out, get it anew, or build with --leave-out, which the database then says",
        who: Who::Integrator,
        exit: 2,
    },
    Reason {
        code: ADVISORY_DRAFT,
        title: "advisory is a draft",
        meaning: "The vendor has not given the advisory out: its status or its version says that it is a draft.",
        cause: "The file was taken from where drafts lie, or its publisher forgot to change the status.",
        next: "get the advisory in its final or interim form",
        who: Who::Vendor,
        exit: 2,
    },
    Reason {
        code: ADVISORY_CONTRADICTS,
        title: "advisory contradicts itself",
        meaning: "The advisory says two things of one product, or refers to a product that it does not define: what it says is not known.",
        cause: "Its publisher did not check it against the standard (CSAF 2.0, section 6.1).",
        next: "tell its publisher, and get a corrected one; --leave-out builds without it",
        who: Who::Vendor,
        exit: 2,
    },
    Reason {
        code: ADVISORY_DATABASE_UNREADABLE,
        title: "advisory database cannot be read",
        meaning: "What vendors say of holes is not known: the database is damaged, or of another version of Headgate.",
        cause: "The copy was cut short, or another file was given.",
        next: "copy it again, or build it anew: headgate advisories build",
        who: Who::Integrator,
        exit: 51,
    },
    inspection::REASONS[0],
    inspection::REASONS[1],
    inspection::REASONS[2],
    inspection::REASONS[3],
    inspection::REASONS[4],
    inspection::REASONS[5],
    inspection::REASONS[6],
    Reason {
        code: POLICY_DENIES,
        title: "refused by the site's policy",
        meaning: "A rule of the site is against this image on this controller; the reasons are the policy's own.",
        cause: "The image is not what the site permits, or the policy is stricter than was meant.",
        next: "mend what the reasons name; a rule is changed in the policy, with its approvers (docs/policy.md)",
        who: Who::Approver,
        exit: 40,
    },
    Reason {
        code: POLICY_UNDECIDED,
        title: "the site's policy did not decide",
        meaning: "The policy ended in an error, took too long, or answered with something that is no answer.",
        cause: "A rule of it is wrong for this image.",
        next: "run it on the case's input: headgate policy test, and read docs/policy.md",
        who: Who::Approver,
        exit: 40,
    },
    Reason {
        code: POLICY_HOLDS,
        title: "held by the site's policy",
        meaning: "A rule of the site is against this image, and the zone of the controller holds such images.",
        cause: "The image is not what the site permits, or the policy is stricter than was meant.",
        next: "mend what the reasons name, or have the policy changed by its approvers, then try again",
        who: Who::Approver,
        exit: 60,
    },
    Reason {
        code: POLICY_ENDED,
        title: "the site's policy is past its time",
        meaning: "The policy was to be looked at again by now, and nothing is decided by an old one.",
        cause: "Nobody has renewed it, or the clock of the gateway is wrong.",
        next: "review the policy and give it a new expires in [policy]; check the clock",
        who: Who::Approver,
        exit: 51,
    },
    Reason {
        code: POLICY_NO_MATCH,
        title: "no rule of the site's policy is for it",
        meaning: "Nothing in the policy is against this image, and nothing says that it may pass.",
        cause: "The policy has no rule for this vendor, model or controller.",
        next: "add a rule that allows it, with the policy's approvers (docs/policy.md)",
        who: Who::Approver,
        exit: 41,
    },
    Reason {
        code: ROLLBACK,
        title: "image is older than allowed",
        meaning: "The image is below the security-version floor of its product, or older than what was accepted last.",
        cause: "The wrong image was given, or somebody tries to bring back an old hole.",
        next: "use a current image; to go back on purpose have a downgrade ticket signed",
        who: Who::Approver,
        exit: 50,
    },
    Reason {
        code: CANNOT_COMPARE,
        title: "age of the image cannot be compared",
        meaning: "Nobody can tell whether the image is older than what is allowed.",
        cause: "Its version is not stated, not of the expected form, or nothing was accepted before.",
        next: "have its security version stated (stage --security-version), or its version in the form of the controller's version_scheme (stage --version, [[plc]] in the configuration)",
        who: Who::Engineer,
        exit: 50,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_in_range_and_complete() {
        assert!(REASONS.windows(2).all(|pair| pair[0].code < pair[1].code));
        for row in REASONS {
            assert!(matches!(row.code.0, 1000..=3999 | 4100..=4199 | 5000..=5999), "{}", row.code);
            let texts = [row.title, row.meaning, row.cause, row.next];
            assert!(texts.iter().all(|text| text.trim() == *text && text.len() > 5), "{}", row.code);
            assert!(row.exit != 0 && row.exit != 1, "{}", row.code);
            assert_eq!(reason(row.code).map(|r| r.title), Some(row.title));
        }
    }
}
