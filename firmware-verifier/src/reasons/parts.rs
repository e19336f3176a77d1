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
        "The copy was cut short, another file was given, or this box took the place of another, whose database is not in the backup."
        "copy it again, or build it anew (headgate advisories build); on a gateway import it again";
    ADVISORIES_OLDER 3015 50 Integrator "advisory database older than the installed one"
        "What vendors told since would be forgotten: nothing goes back to older advisories."
        "An older file was given, or somebody wants a hole to be forgotten."
        "import the newest database that approvers have signed: headgate advisories show FILE says of when one is";
    KNOWN_EXPLOITED 3020 31 Vendor "known hole that is exploited"
        "A vendor says that this version, or a part of it, has a hole, and attackers are known to make use of it."
        "The version is an old one, or its maker has not mended it yet."
        "install a version that the advisory calls fixed; headgate advisories match says what it recommends. Until then keep the conduit's allow-list tight";
    AFFECTED 3021 32 Vendor "known hole"
        "A vendor says that this version, or a part of it, has a hole."
        "The version is an old one, or its maker has not mended it yet."
        "install a version that the advisory calls fixed; headgate advisories match says what it recommends";
    CANNOT_TELL_AFFECTED 3022 32 Engineer "nobody can tell whether a known hole is there"
        "A hole of the product, or of a part of it, is known, and whether this version has it cannot be told: the versions cannot be compared, none is stated, or the vendor is still looking."
        "The version is not stated or in another form than the advisory's, or the advisory is not precise."
        "state the version (--version) and how the product counts (version_scheme, docs/config.md), and read the advisory that is named";
    ADVISORIES_STALE 3023 51 Integrator "advisories are too old"
        "The advisory database is past the time for which one may go by it: holes that were told since are not known."
        "Nobody has brought a newer one, or the clock of the gateway is wrong."
        "build and sign a new one, and import it: headgate advisories import FILE --document D --yes; check the clock";
    ADVISORIES_MISSING 3024 51 Integrator "no advisory database"
        "The zone of the controller asks for what vendors tell of holes, and no database was imported."
        "Nobody has brought one yet."
        "import one: headgate advisories import FILE --document D --yes (docs/advisories.md)";
    PRODUCT_NOT_KNOWN 3025 3 Integrator "product that no advisory names"
        "The database knows neither the product nor a part of the image: that it tells of no hole says nothing."
        "The vendor publishes no advisories, they are not in the database, or the product is called otherwise in them."
        "see how the vendor's advisories call the product (headgate advisories match), and give vendor and model so in the configuration";
}
