//! 50xx: the age of images.

hal::reasons! {
    ROLLBACK 5001 50 Approver "image is older than allowed"
        "The image is below the security-version floor of its product, or older than what was accepted last."
        "The wrong image was given, or somebody tries to bring back an old hole."
        "use a current image; to go back on purpose have a downgrade ticket signed";
    CANNOT_COMPARE 5002 50 Engineer "age of the image cannot be compared"
        "Nobody can tell whether the image is older than what is allowed."
        "Its version is not stated, not of the expected form, or nothing was accepted before."
        "have its security version stated (stage --security-version), or its version in the form of the controller's version_scheme (stage --version, [[plc]] in the configuration)";
}
