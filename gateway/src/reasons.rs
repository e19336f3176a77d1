//! The gateway's own reason codes, and the whole table with those of the two libraries.

use hal::reason::{Reason, ReasonCode};

/// Every code Headgate can give, ascending.
pub fn all() -> impl Iterator<Item = &'static Reason> {
    let libraries = firmware_verifier::reasons::all().chain(sensor_monitor::reasons::REASONS);
    let mut rows: Vec<&'static Reason> = libraries.chain(REASONS).collect();
    rows.sort_by_key(|r| r.code);
    rows.into_iter()
}

/// The row of `code`, if it exists.
pub fn find(code: ReasonCode) -> Option<&'static Reason> {
    all().find(|r| r.code == code)
}

hal::reasons! {
    NOTHING_RELEASED 4001 60 Approver "nothing released"
        "No image is released for this controller, so no update may pass."
        "The update was started before anybody staged and released its image."
        "Stage the image with its signature, then release it: headgate stage IMAGE --plc ID --signature F; headgate release DIGEST --plc ID.";
    OUTSIDE_WINDOW 4002 61 Approver "outside the release's window"
        "The image is released, but not for this time."
        "The maintenance window has not begun or is over, or the gateway's clock is wrong or was never set: the text says its time."
        "Compare that time with a watch (headgate doctor, timedatectl). If it is right: wait for the window, or release the image again with another --window.";
    STATION_NOT_NAMED 4003 60 Approver "station not named by the release"
        "The image is released, but not for this engineering station."
        "The download was started from another machine than the release names."
        "Use the named station, or release the image again with --station.";
    USED_UP 4004 60 Approver "release used up"
        "Every use of this release is spent."
        "The image has been delivered as often as the release allows; the default is once."
        "Release the image again if it must be delivered again.";
    NOT_RELEASED 4005 60 Approver "image not released"
        "The image was received whole, but no release names it."
        "It is another build than the released one, or was never staged."
        "headgate vault list shows what is staged; stage and release this image if it is the right one.";
    HELD 4010 60 Approver "held for approval"
        "The release waits until enough approvers have signed it; nothing passes before."
        "The controller asks for approvals, and one is missing, has expired, or its key was revoked."
        "headgate held show CASE; headgate held approve CASE --out FILE writes what approvers sign.";
    APPROVAL_REFUSED 4011 60 Approver "release refused by an approver"
        "Somebody whose approval was asked for has refused: the release is not given."
        "The case says who and why."
        "Settle it with whoever refused; headgate release begins a new case.";
    APPROVAL_ELSEWHERE 4012 13 Approver "approval for something else"
        "The approval is signed, but for another case, controller, image, step, security version or conditions than this one."
        "The wrong file was given, the release was asked for anew since, or what it permits is no longer what was signed."
        "Have the approval signed that headgate held approve CASE --out FILE writes.";
    RESTATED 4013 60 Operator "restated while it is released"
        "The image is in the vault with another version or security version than was stated now, and is released, held or being delivered with that."
        "The image was staged again, with another --security-version or --version than the one that people released."
        "Withdraw the release first: headgate withdraw DIGEST --plc ID, or headgate held refuse CASE; then stage it again. Or state what vault list shows.";
    PERMISSIVE_ABSENT 4015 60 Operator "permissive absent"
        "The key switch or the tag that must say yes before this controller is rewritten says no, or has not been read lately."
        "Nobody has turned the key, its input is broken, or the machine is not in the state in which it may be changed."
        "Make sure that the machine may be changed, turn the key, and start the update again; headgate plc list shows what it says.";
    SAFETY 4020 40 Operator "safety controller takes no update"
        "Controllers of class safety are never delivered to: nothing is staged, released or delivered, and no programming passes; process reads do."
        "A safety controller was named by mistake, or somebody tries to reprogram one past its own procedure."
        "Update it at the controller itself, with its key switch and its maker's tool. If it is no safety controller, correct class in [[plc]].";
    NO_PROGRAM 4021 40 Integrator "no program for this controller"
        "The image was brought as everyday logic, and this controller takes firmware, or the vault has it as firmware."
        "The route's class is firmware, which is the default: what its profile loads must be signed."
        "Stage it without --class and with its signature. Where the route's profile loads programs: class = \"program\" in [[plc.route]].";
    PROGRAM_TICKET 4022 60 Engineer "program without a ticket"
        "Everyday logic is released under a change ticket, which this release does not name."
        "--ticket was left out."
        "headgate release DIGEST --plc ID --ticket CHG-123, then have two approvers sign: headgate held approve CASE --out FILE.";
    PROCESS_DENIED 6001 40 Integrator "access not on the process allow-list"
        "The conduit passes only the functions and addresses its allow-list names; this access is not among them."
        "A station asks for something it did not ask for when the list was learned, or should not ask for."
        "If it is legitimate, add it to [[plc.allow]]; headgate conduit learn proposes rules.";
    FUNCTION_DENIED 6002 40 Integrator "function code refused"
        "The function code can stop, reprogram or silence a controller, or is not known; no allow-list lets it pass."
        "A programming tool on the process conduit, a scanner, or an attack."
        "Find out who sent it: the alarm names the station.";
    WINDOW_PROTECTED 6003 40 Engineer "update window protected"
        "A write touches the controller's update registers but is no step of its transfer profile."
        "A tool that updates differently than the profile says, or an attempt to get past the gate."
        "Check the profile of this controller against the tool: headgate plc list.";
    NO_TRANSFER 6004 40 Engineer "no transfer open"
        "A step of an update came without the opening step before it."
        "The tool resumed after the gateway ended the transfer, or skips the beginning."
        "Start the update again from its first step.";
    TRANSFER_BUSY 6005 40 Engineer "another transfer is open"
        "Only one transfer may run for a controller, and one is open."
        "Two stations update the same controller, or the gateway is delivering."
        "Wait for the other transfer to end; headgate status shows it.";
    BYTES_DIFFER 6006 12 Engineer "bytes differ from the released image"
        "A byte sent by the station is not the byte of the released image at that place."
        "Another build than the released one, a damaged file, or a tampered one."
        "Compare the file at the station with the staged one: sha256sum FILE and headgate vault list.";
    BEYOND_IMAGE 6007 12 Engineer "bytes beyond the end of the image"
        "The station sends more than the released image holds."
        "Another build than the released one, or other padding than the profile allows."
        "Compare the file at the station with the staged one; check padding in the profile.";
    OVERLAP_DIFFERS 6008 12 Engineer "different bytes for the same place"
        "Two writes put different bytes at the same offset of one image."
        "Two tools mixed up in one transfer, or an attack on the check."
        "Find out who sent it: the case names the station.";
    INCOMPLETE 6009 12 Engineer "commit before the image was complete"
        "The station asked the controller to use an image that had not arrived whole."
        "The tool skipped blocks after an error, or the image is another one than released."
        "Start the update again from its first step.";
    IMAGE_TOO_LARGE 6010 40 Engineer "image too large"
        "The image is longer than the profile allows, or longer than announced."
        "The wrong file, or a profile for a smaller controller."
        "Check max_image in the profile.";
    TOO_SCATTERED 6011 40 Engineer "image too scattered"
        "The pieces of the image leave more gaps than any tool does."
        "A faulty tool, or an attempt to exhaust the gateway."
        "Start the update again with one tool.";
    CONTROLLER_SILENT 6012 70 Integrator "controller silent"
        "The controller did not answer, or its connection broke."
        "It restarts, is switched off, or the cable is out."
        "Check the controller; the gateway keeps trying to reconnect.";
    CONTROLLER_REFUSED 6013 70 Vendor "controller refused"
        "The controller itself refused a step of the update."
        "The image is not for this hardware, or the controller is not in the right state."
        "Look up the exception in the controller's manual.";
    MALFORMED 6014 40 Integrator "malformed traffic"
        "Bytes that are no Modbus/TCP; the connection was closed."
        "A port scanner, another protocol on this port, or an attack."
        "Find out who sent it: the alarm names the station and counts.";
    TOO_MANY_STATIONS 6015 40 Integrator "too many connections"
        "More connections than the conduit serves; the newest was closed."
        "A tool that never closes connections, or a flood."
        "Raise max_stations of the route, or max_per_address, if they are all legitimate.";
    CHANGED_OUTSIDE 6016 70 Operator "changed outside the gate"
        "The controller's identity changed without a case at this gateway."
        "Somebody updated it past the gateway, or replaced it."
        "Find out who did it; acknowledge once the change is explained.";
    NO_ROUTE 6017 40 Integrator "unit not served"
        "No rule of this conduit names this unit id."
        "A wrong unit id in a station, or a scan."
        "Add the unit to the allow-list if it exists.";
    DELIVERY_UNCONFIRMED 6018 70 Operator "delivery not confirmed"
        "An image is on its way into the controller past the point of no return, and the controller does not run it yet."
        "The controller or its power went away in the middle."
        "Keep the controller connected: the gateway tries again whenever it connects and the gate is open. Another verified image may take its place: headgate deliver.";
    DROPPED 6019 40 Integrator "dropped without an answer"
        "A broadcast write or a force-listen-only request, to which the standard defines no answer."
        "A scanner, or an attempt to silence the controller."
        "Find out who sent it: the alarm names the station.";
    READ_BACK 6020 70 Operator "identity not read back"
        "After an update the controller did not tell its identity in time."
        "It still boots, or does not support identification."
        "headgate plc identify ID; check the controller.";
    TRANSFER_TOO_LONG 6021 40 Engineer "transfer took too long"
        "A transfer was not over within the time that the route allows; the controller is free for others."
        "A tool that sends very slowly or began anew again and again, or an attempt to keep others from updating."
        "Start the update again after a pause; raise transfer_s of the route if the controller needs longer.";
    TPM_UNAVAILABLE 7001 71 Integrator "TPM unavailable"
        "The TPM does not answer, so nothing can be verified and the gate is shut for firmware."
        "The TPM or its driver is gone, or another program holds it."
        "Look at the journal; check tcti in the configuration.";
    BOOT_STATE 7002 71 Integrator "boot state not approved"
        "The TPM refuses to unseal: this box did not boot in a state that the site key approved."
        "Firmware, kernel or command line changed, or were tampered with."
        "If the change is yours, have it approved: headgate init --request-only, site-key sign, trust approve-pcrs.";
    NOT_PROVISIONED 7003 71 Integrator "not provisioned"
        "This gateway has no sealed key yet, so the gate is shut for firmware."
        "headgate init has not been run, or its approval is not installed."
        "headgate init --site-key F, then headgate trust approve-pcrs APPROVAL.";
    TRUST_STORE 7004 71 Integrator "trust store unreadable"
        "The trust store, or the record of the key that seals it, is missing, damaged or not of this box."
        "A damaged disk, or a file copied from another gateway."
        "Restore the file from a backup of this box. Without one: headgate init --site-key F --again, have the boot state approved, and add every anchor again.";
    STATE_DAMAGED 7005 71 Integrator "state damaged"
        "The state database cannot be read, or is gone."
        "A damaged disk, or deleted files."
        "The gate stays shut until then: stop the gateway, move the data folder away, headgate init, headgate replace --from BACKUP (docs/replace.md).";
    VAULT_ALTERED 7006 71 Integrator "stored image altered"
        "A stored image no longer equals the digest it was verified under."
        "A damaged disk, or tampering on the box itself."
        "Remove it (headgate vault rm DIGEST) and stage the image again.";
    DISK_FULL 7007 70 Integrator "disk full"
        "There is no room to record what must be recorded, so firmware is refused."
        "Images, logs or something else filled the disk."
        "headgate vault list; remove what is not needed.";
    JUDGE_SILENT 7008 70 Integrator "no decision in time"
        "The gateway's own judge did not answer in time; the transfer was refused."
        "The box is overloaded, or its disk or TPM hangs."
        "Look at the journal, and for slow storage.";
    NOT_READY 7009 70 Integrator "gateway starting"
        "The gateway has just started and has not opened the gate yet, or it does not run and the command needs it running."
        "A restart, which takes about a second and one TPM command; or nobody started it."
        "If it runs, try again in a moment; if not, start it: headgate run.";
    SRK_CHANGED 7010 71 Integrator "another TPM"
        "The TPM's storage key is not the one this gateway was provisioned with."
        "The TPM was cleared or replaced, or something sits between it and the processor."
        "Treat it as an intrusion until explained; then run headgate init again.";
    STATE_OLD 7011 71 Integrator "state from an old copy"
        "The state on the disk was written before the last change: the TPM's counter is further on."
        "An old image of the disk was put back, or single files from a backup."
        "Put the newest copy back. Where there is none: headgate init --again, and trust the keys anew.";
    STATE_COUNTER 7012 71 Integrator "state counter changed"
        "The TPM's counter that guards the state is missing, another one, or not where the state left it."
        "The TPM was cleared, the counter removed or incremented by another program, or the disk is of another box."
        "If there is a newer copy of this disk, put that back. Otherwise find out who uses the TPM; then headgate init --again, and trust the keys anew.";
    AUDIT_LOG 7013 71 Integrator "audit log damaged"
        "The audit log cannot be written, or is not what was written: the text says where."
        "A damaged or full disk, or somebody who edited the log."
        "Copy the folder audit for whoever investigates it; then headgate audit set-aside --reason TEXT begins a new log.";
    CONFIG_CHANGED 7014 70 Integrator "configuration not as approved"
        "The configuration files, or a profile, say something else than what was approved last. The approved configuration runs."
        "Somebody edited a file, and nobody has approved it yet; or it was tampered with."
        "headgate config digest names what differs. Put it back, or have it approved: headgate config digest --draft F --reason TEXT, sign-document, headgate config approve F; then restart the gateway.";
    CONFIG_LOST 7015 71 Integrator "approved configuration lost"
        "A configuration was approved, and the one that runs cannot be proven to be it: the kept one is missing, damaged or another."
        "A damaged disk, a deleted file, or a file that somebody put there."
        "Put the configuration files back as they were approved and restart the gateway; or restore config.approved; or have the files approved anew by two approvers: headgate config digest --draft F --reason TEXT.";
    CONFIG_WEAKENS 7016 60 Approver "configuration weakens enforcement"
        "The configuration lets more pass than the one approved last, and too few people stand behind that."
        "The approval was drafted for another configuration, or one approver signed alone."
        "headgate config digest lists each weakening; draft again with --draft, and have two distinct approvers sign.";
    CONFIG_UNAPPROVED 7017 70 Approver "no configuration approved"
        "No configuration was ever approved, so whoever can edit the files decides what is enforced."
        "The site has no approvers yet, or they have not signed."
        "Trust approvers (docs/trust.md); then headgate config digest --draft F --reason TEXT, sign-document, headgate config approve F.";
    STATE_UNTOLD 7018 71 Integrator "old state or moved counter"
        "The TPM's counter is further on than the state on the disk, and the TPM's clock does not tell which of the two has moved."
        "An old copy of the whole disk was put back, or another program moved the counter; the disk's last note of the TPM's clock is neither recent nor many boots old."
        "headgate audit verify --against CHECKPOINT, with one that the broker has or that was exported: if the log is behind it, the disk is old, and its newest copy belongs here. Otherwise find out who uses the TPM; then headgate init --again.";
    FILES_DELETED 7019 71 Integrator "files deleted"
        "Files that this gateway wrote are gone from its data folder, or empty: the text names each."
        "Somebody deleted them, or a damaged disk was repaired."
        "Find out who did it; put each back from where the text says. headgate doctor looks again.";
    BREAK_GLASS 7020 70 Operator "break-glass in force"
        "The site key has allowed this gateway to act without a verdict on one controller, for a time; the alarm stays until a person closes it after that."
        "An emergency: headgate ticket list says who brought which document, and why."
        "When it is over, look at what was done (headgate audit list), then headgate ticket close ID --reason TEXT or headgate alarms ack.";
    NO_BREAK_GLASS 7021 60 Integrator "no break-glass for this"
        "Nothing in force allows this controller to take an image that was not verified."
        "No document was brought, its window is over, or it is for another controller, case, image or action."
        "headgate ticket break-glass writes one for the site key to sign; headgate ticket use FILE brings it. Better: have the image verified.";
    SET_UP_ANEW 7022 70 Approver "set up anew"
        "headgate init began anew on a box whose TPM or data folder had been in use: trusted keys, revocations, floors and the approved configuration of before are gone."
        "Somebody ran headgate init, with --again or in another data folder; the text says when, and which site key counted before and counts now."
        "Compare the new site key's fingerprint with its owner, and the evidence key with the one that was noted (headgate attest). If nobody of yours did it, treat the box as taken. Then headgate alarms ack.";
    OTHER_SITE_KEY 7023 71 Approver "another site key"
        "The configuration names the one site key that counts here ([tpm] site_key), and this box was set up with another one."
        "Somebody set the box up anew with a key of his own, or the site's key changed and the configuration did not."
        "If the new key is the site's: put its fingerprint into [tpm] site_key and have that approved. Otherwise treat the box as taken, and set it up anew with the site's key.";
    CHALLENGE 7030 71 Integrator "challenge of another TPM"
        "The challenge does not open here: it was made for another endorsement key, or for another key beside it."
        "The files of another gateway were used to make it, or this gateway was provisioned anew since."
        "headgate attest -o FOLDER here, and make the challenge from that folder: docs/attest.md.";
    BACKUP_UNREADABLE 7031 11 Integrator "backup unreadable"
        "The file is no backup of Headgate, or not what its box has signed."
        "Another file, a damaged medium, or somebody who edited it."
        "Take another copy of it, or an older backup.";
    REPLACEMENT 7032 71 Approver "replacement refused"
        "The backup, the leave of the site and this box do not belong together, or this box has a story of its own."
        "The leave was drafted for another spare or another backup, or the spare was in use before."
        "On a freshly provisioned spare: headgate replace --from FILE --draft DOC, and have it signed (docs/replace.md).";
    CERTIFICATE_UNREADABLE 7040 11 Integrator "certificate unreadable"
        "The file is no chain of certificates in PEM."
        "A request, a key or another format in the place of certificates, or more than a chain needs."
        "Ask the authority for PEM: this gateway's certificate first, then those of its issuers.";
    CERTIFICATE_OTHER 7041 71 Integrator "certificate of another key"
        "The certificate is not about the key that this gateway's TPM holds for it."
        "It is another gateway's, or an old one: the TPM was cleared or replaced since."
        "headgate attest --csr -o FILE here, and have that request signed (docs/devid.md).";
    CERTIFICATE_CHAIN 7042 71 Integrator "certificate chain broken"
        "A certificate of the chain is not signed by the one behind it."
        "The order is wrong, one is missing, or an authority of the same name has another key."
        "Put them in order: this gateway's certificate, its issuer, the issuer of that.";
    CERTIFICATE_TIME 7043 71 Integrator "certificate not valid"
        "A certificate of the chain is not valid now, or not for what the gateway does with it."
        "It expired or begins later, the clock is wrong, or it was issued for servers or as an authority."
        "Check the clock (timedatectl); have the request signed with its extensions: clientAuth, digitalSignature.";
    BROKER_DOWN 8001 70 Integrator "broker unreachable"
        "The MQTT broker cannot be reached; alarms queue on disk."
        "The broker is down, or refuses this gateway's certificate."
        "Check the broker; nothing is lost meanwhile.";
    OUTBOX_FULL 8002 70 Integrator "outbox full"
        "The queue for the broker is full; the oldest data (never alarms) were dropped."
        "The broker has been away for long."
        "Bring the broker back.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_says_something_and_codes_ascend() {
        for pair in REASONS.windows(2) {
            assert!(pair[0].code < pair[1].code, "{} before {}", pair[0].code, pair[1].code);
        }
        for r in all() {
            for text in [r.title, r.meaning, r.cause, r.next] {
                assert!(text.len() > 7, "{} has an empty field", r.code);
            }
        }
    }

    #[test]
    fn no_code_appears_twice_and_none_has_gone() {
        let codes: Vec<String> = all().map(|r| format!("{} {}", r.code, r.title)).collect();
        let mut numbers: Vec<_> = all().map(|r| r.code).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), codes.len());
        let listed: Vec<&str> = include_str!("../reason-codes.txt").lines().collect();
        assert_eq!(
            codes, listed,
            "gateway/reason-codes.txt is append-only: add the new line where it belongs"
        );
    }
}
