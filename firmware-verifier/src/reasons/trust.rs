//! 1070 to 1095: keys, revocations and signed documents.

hal::reasons! {
    TRUST_STORE_UNREADABLE 1070 71 Integrator "trust store cannot be opened"
        "The sealed trust store is missing, damaged, or of another gateway."
        "The disk is failing, a file was replaced, or the TPM is another one."
        "restore the trust store from the backup of this gateway";
    KEY_FILE_REFUSED 1071 11 Approver "not a usable public key"
        "The file given as a public key is none, or one that must not be trusted."
        "The wrong file was given, or a key of another algorithm."
        "give the vendor's Ed25519 or minisign public key";
    PRIVATE_KEY_GIVEN 1072 11 Approver "a private key was given"
        "The file is a private key; it must never be on a gateway."
        "The wrong half of a key pair was copied."
        "delete it here, consider the key exposed, and give the public half";
    TRUST_CHANGE_REFUSED 1073 2 Approver "trust store not changed"
        "The anchor is there already, cannot be made so, or the store is full."
        "The change was made before, or unused anchors were never removed."
        "look at `headgate trust show`";
    ANCHOR_NOT_FOUND 1074 3 Approver "no such trust anchor"
        "No trust anchor has the key that was named."
        "The key id was mistyped, or the anchor was removed before."
        "look at `headgate trust show`";
    SIGNER_REVOKED 1080 14 Approver "signer's key is revoked"
        "A key signed that the site has revoked; nothing it signed counts any more."
        "The key was stolen or lost, and the site said so in a trust bundle."
        "get the image or document signed with a key that is not revoked";
    IMAGE_REVOKED 1081 14 Approver "image is revoked"
        "The site has revoked this image; it is refused whoever signed it."
        "The image has a known fault or hole, and the site said so in a trust bundle."
        "use a newer image; `headgate trust show` gives the reason of the revocation";
    SIGNERS_TOO_FEW 1082 13 Approver "too few signers"
        "Good signatures are there, but of fewer distinct keys than are needed."
        "A signature file is missing, or one key signed twice."
        "have the rest of the signers sign, and give all signatures along";
    VOUCH_ELSEWHERE 1083 13 Approver "not vouched for here"
        "The site vouches for another image, or for other controllers."
        "The wrong document was given, or the controller was added later."
        "have the site vouch for this image and this controller";
    DOCUMENT_UNREADABLE 1090 11 Approver "signed document cannot be read"
        "The file is no document of the kind that is needed here, or not in its canonical form."
        "The wrong file was given, or it was edited after it was made."
        "have the document made again with `headgate ticket` or the command it is for";
    DOCUMENT_NOT_SIGNED 1091 13 Approver "document not signed by a key that counts"
        "No trusted key of the role that this kind needs has signed the document."
        "It was changed after signing, or signed by somebody else."
        "have it signed by a key of the right role; `headgate trust show` lists them";
    DOCUMENT_ELSEWHERE 1092 13 Approver "document for another gateway"
        "The document names another gateway, so it says nothing here."
        "It was made for another cell, or the gateway was renamed."
        "have a document made for this gateway";
    DOCUMENT_EXPIRED 1093 14 Approver "document does not count now"
        "The document has expired, or was issued in the future."
        "It is old, or a clock is wrong."
        "check the clocks, then have a new document signed";
    DOCUMENT_USED 1094 14 Approver "document used up"
        "The document was used as often as it may be."
        "It was given twice, or somebody replays it."
        "have a new document signed; if nobody used the old one, find out who did";
    BUNDLE_ROLLBACK 1095 50 Approver "old trust bundle"
        "A trust bundle that was applied already, or an older one, would undo what came later."
        "The wrong file was given, or somebody tries to bring back a revoked key."
        "give the bundle that follows the last one";
}
