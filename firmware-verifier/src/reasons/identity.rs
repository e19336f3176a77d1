//! 20xx: whether the controller is the one.

hal::reasons! {
    WRONG_VENDOR 2001 15 Engineer "controller of another vendor"
        "The controller says that it is of another vendor than the image is meant for."
        "The wrong controller was named, or a device was swapped."
        "check the wiring and the controller's entry in the configuration";
    WRONG_MODEL 2002 15 Engineer "controller of another model"
        "The controller says that it is another model than the image is meant for."
        "The wrong image or controller was named, or a device was swapped."
        "check the model on the nameplate, then the image and the configuration";
}
