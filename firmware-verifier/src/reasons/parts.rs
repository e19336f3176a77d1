//! 30xx: parts, and holes in them.

hal::reasons! {
    SBOM_MISSING 3001 30 Engineer "image without an SBOM"
        "The image came without a list of its parts, which the zone of the controller demands."
        "The vendor's SBOM was not given along, or there is none."
        "give the vendor's SBOM along (--sbom FILE), or ask the vendor for it";
    SBOM_UNREADABLE 3002 30 Engineer "SBOM cannot be read"
        "The file given as SBOM is of no form that is read, or damaged."
        "The wrong file was given, it is in another format, or its maker is at fault."
        "give CycloneDX 1.4 to 1.6 in JSON as its signer wrote it";
    SBOM_NOT_SIGNED 3003 30 Engineer "SBOM not signed by who may sign the image"
        "A list of parts that nobody trusted has signed says nothing."
        "Its signature file was not given along, is of another file, or is by a key that may not sign for this product."
        "give its signature along (--sbom-signature FILE), or leave the SBOM out where the zone allows it";
    SBOM_ELSEWHERE 3004 30 Engineer "SBOM of another image"
        "The list of parts is signed, and is not one of this image."
        "The SBOM of another version was given along, or the vendor's names no image at all."
        "give the SBOM of exactly this image; ask the vendor to put its SHA-256 into metadata.component";
    ADVISORY_UNREADABLE 3011 2 Integrator "advisory cannot be read"
        "A file given as an advisory or catalogue is none, or not of the form that is read here."
        "Another file lies in the folder, or it was cut short."
        "take the file out, get it anew, or build with --leave-out, which the database then says";
    ADVISORY_DRAFT 3012 2 Vendor "advisory is a draft"
        "The vendor has not given the advisory out: its status or its version says that it is a draft."
        "The file was taken from where drafts lie, or its publisher forgot to change the status."
        "get the advisory in its final or interim form";
    ADVISORY_CONTRADICTS 3013 2 Vendor "advisory contradicts itself"
        "The advisory says two things of one product, or refers to a product that it does not define: what it says is not known."
        "Its publisher did not check it against the standard (CSAF 2.0, section 6.1)."
        "tell its publisher, and get a corrected one; --leave-out builds without it";
    ADVISORY_DATABASE_UNREADABLE 3014 51 Integrator "advisory database cannot be read"
        "What vendors say of holes is not known: the database is damaged, or of another version of Headgate."
        "The copy was cut short, or another file was given."
        "copy it again, or build it anew: headgate advisories build";
}
