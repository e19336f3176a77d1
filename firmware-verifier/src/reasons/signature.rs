//! 1001 to 1062: images, their signatures and signers, and how long a verdict counts.

hal::reasons! {
    NO_SIGNATURE 1001 10 Engineer "no signature"
        "The image came without a signature, so nobody vouches for it."
        "The signature file was not given along, or the vendor does not sign."
        "give the vendor's signature file along with the image";
    SIGNATURE_FORMAT_UNKNOWN 1002 11 Engineer "unknown signature format"
        "The file given as a signature is none of the kinds this version checks."
        "The wrong file was given, or the vendor signs in another format."
        "give the detached signature itself, in one of the accepted forms";
    SIGNATURE_LEGACY 1003 11 Vendor "outdated signature format"
        "The signature is of an old kind: a minisign one that does not hash the image first, or a cosign bundle with a certificate that only the log can date."
        "It was made by minisign before 0.10 or with its legacy option, or by cosign before 3."
        "have the image signed again with a current minisign or cosign";
    SIGNATURE_FILE_DAMAGED 1004 11 Engineer "damaged signature file"
        "The signature file is of a known kind, but cannot be read."
        "It was cut short or changed on the way, e.g. by an editor or a mail program."
        "fetch the signature file again";
    STATEMENT_OTHER_KIND 1005 11 Engineer "statement releases nothing"
        "The statement about this image is signed well, but it is of a kind by which nobody gives an image out."
        "A list of parts or the result of a scan was given in the place of provenance."
        "give the vendor's provenance or release statement, or a signature of the image itself";
    SIGNATURE_MISMATCH 1010 12 Engineer "signature does not match"
        "The signature is not one of this image by a trusted key."
        "The image was changed, the signature belongs to another image, or another key made it."
        "compare the image's SHA-256 with the vendor's; fetch image and signature again";
    TRUSTED_COMMENT_CHANGED 1011 12 Engineer "trusted comment was changed"
        "The signature of the image is good, but the trusted comment beside it was changed."
        "Somebody edited the signature file."
        "fetch the signature file again, and find out who changed it";
    SIGNATURE_NOT_STRICT 1012 12 Vendor "malformed signature value"
        "The signature's numbers are outside what a signing tool makes; verifiers disagree about it."
        "It was crafted or damaged."
        "fetch the signature again; if it stays so, treat the image as hostile";
    LOG_ENTRY_ELSEWHERE 1013 12 Vendor "log entry of something else"
        "The bundle's entry of the transparency log is about another signature, image or key."
        "Somebody put together parts of different bundles, perhaps to make an image look witnessed."
        "fetch the bundle again; if it stays so, ask the vendor, and treat the image as hostile";
    SIGNER_UNKNOWN 1020 13 Approver "signer not known"
        "No trust anchor can have made this signature."
        "The vendor's key was never added, or the vendor uses a new one."
        "check the key with the vendor by another way, then `headgate trust add` it";
    SIGNER_NOT_ALLOWED 1021 13 Approver "signer not allowed for this product"
        "The signature is good, but its key may not sign for this vendor and model."
        "The image is for another product, or the anchor's scope is too narrow."
        "check that this is the image for this controller; if it is, have the scope widened";
    CERTIFICATE_PURPOSE 1022 13 Vendor "certificate for another purpose"
        "The signer's certificate says what it is for, and signing code is not among it."
        "A certificate for mail or for servers was used, perhaps one that was stolen."
        "have the image signed with a certificate for code signing";
    SIGNER_EXPIRED 1030 14 Approver "signer's key expired"
        "The signature is good, but its key is no longer trusted."
        "The vendor has changed keys, or the anchor was not renewed."
        "get the image signed with the current key, or have the anchor renewed";
    SIGNER_NOT_YET_VALID 1031 14 Integrator "signer's key not yet valid"
        "The signature is good, but its key is trusted only from a later time."
        "A key was prepared for later, or the clock is behind."
        "check the gateway's clock, or wait until the key is valid";
    IMAGE_EMPTY 1040 11 Engineer "image is empty"
        "The image has no bytes."
        "The download broke off, or the wrong file was given."
        "fetch the image again";
    IMAGE_TOO_LARGE 1041 11 Engineer "image is too large"
        "The image is larger than any controller firmware this version takes."
        "The wrong file was given, or somebody tries to exhaust the gateway."
        "check that this is the image for the controller";
    IMAGE_IS_A_DOCUMENT 1042 11 Engineer "image is a signed document"
        "The image consists of the bytes that are signed for a DSSE envelope or a CMS signature, or of a JSON document, not of firmware."
        "The wrong file was given, or somebody tries to pass the signature of something else off as that of an image."
        "give the image itself; where this was it, find out where it came from, and treat it as hostile";
    VERDICT_OUTDATED 1050 51 Engineer "verdict is outdated"
        "Policy, trust or state has changed since the image was verified."
        "An approver changed something between verification and delivery."
        "verify the image again";
    VERDICT_EXPIRED 1051 51 Engineer "verdict has expired"
        "The time for which the image was verified is over."
        "Delivery started too late."
        "verify the image again";
    CLOCK_UNTRUSTED 1060 70 Integrator "clock not trusted"
        "Something depends on the time, and the gateway does not know it."
        "The clock was lost, or has jumped back."
        "set the gateway's clock or mend its time source, then try again";
    TOO_MANY_CANDIDATES 1061 70 Approver "too many keys for this product"
        "More keys may sign for this product than are tried for one image."
        "Old anchors were never removed, or many have a wide scope."
        "remove anchors that are no longer used, or narrow their scopes";
    LIST_EXPIRED 1062 70 Integrator "revocation list out of date"
        "The authority's revocation list is past its time, so nobody can tell whether the certificate still counts."
        "No newer list was imported."
        "fetch the authority's current list and `headgate trust crl` it";
}
