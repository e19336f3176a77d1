//! What looking into an image can come to (`docs/inspection.md`).

hal::reasons! {
    INSPECTION_CRASHED 3041 30 Engineer "image crashes its inspection"
        "The program that looks into images ended in a crash over this one."
        "The image is damaged, or made to attack whoever unpacks it; or Headgate has a fault."
        "treat the image as hostile; have its maker and Headgate's look at it";
    INSPECTION_ESCAPES 3042 30 Engineer "image attacks its inspection"
        "The program that looks into images tried something that it never does, and was killed."
        "The image is made to take over whoever unpacks it."
        "treat the image as hostile, and find out where it came from";
    INSPECTION_TOO_LONG 3043 30 Engineer "inspection took too long"
        "Looking into the image was not done in the time that it has."
        "The image is made so, or unusually large when unpacked."
        "have the vendor give a list of parts (--sbom FILE); ask how the image is packed";
    INSPECTION_TOO_MUCH 3044 30 Engineer "inspection needed too much"
        "Looking into the image took more memory, or gave a longer answer, than it may."
        "The image is made so, or unusually large when unpacked."
        "have the vendor give a list of parts (--sbom FILE); ask how the image is packed";
    UNPACKS_TO_TOO_MUCH 3045 30 Engineer "image unpacks to too much"
        "The image unpacks to more bytes, files or layers than are looked at."
        "It is made to fill the memory of whoever unpacks it, or is unusually large."
        "ask the vendor how the image is packed; the finding says which limit was reached";
    CONTAINER_DAMAGED 3046 30 Engineer "packed part cannot be unpacked"
        "Something in the image is packed in a known way, and cannot be unpacked, or not to its end."
        "The image was cut short or changed, or is packed in a form that is not read."
        "compare the image's SHA-256 with the vendor's; if it is the same, ask how it is packed";
    NAME_LEADS_OUT 3047 30 Engineer "name leads out of the image"
        "A name or link in the image would have a careless unpacker write somewhere else."
        "The archive was made by an odd tool, or made to attack."
        "ask the vendor why; the gateway itself writes nothing that it unpacks";
}
