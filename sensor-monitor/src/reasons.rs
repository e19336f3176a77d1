//! The reason codes of this crate: 9xxx, signals.
//!
//! "Behaviour changed" is all that a measurement can say; whether anybody meant it is for a person to find out.

hal::reasons! {
    BEHAVIOUR_CHANGED 9001 70 Operator "behaviour changed"
        "A measured signal behaves differently from what was learned of it."
        "A worn or re-set machine, another load, a moved sensor, or a controller that does something else."
        "headgate signals show ID tells what changed, since when, and what is usual. If the new behaviour is right: headgate signals learn ID.";
    REPORTED_DIFFERS 9002 70 Operator "report differs from measurement"
        "What the controller reports and what this gateway measures no longer agree."
        "A wrong scale, a failed transmitter, a frozen register, or a controller that hides what it does."
        "Look at the machine itself, not at the screen; headgate signals show ID has both values.";
    SIGNAL_REPEATS 9003 70 Operator "signal frozen or repeating"
        "A signal stands still, or repeats its own past more exactly than a real measurement can."
        "A stuck converter or transmitter, a broken wire, or recorded values played back."
        "Check the transmitter; compare with a hand-held instrument.";
    LIMIT_EXCEEDED 9004 70 Operator "limit exceeded"
        "A signal is outside the limits that the configuration gives it."
        "The process itself, or a failed sensor."
        "Act as the plant's instructions for this signal say.";
    BUS_CHANGED 9005 70 Operator "bus behaviour changed"
        "Timing, errors or levels on a field bus changed, and no update on record explains it."
        "Cable, termination, supply, interference, a swapped device, or firmware changed past this gate."
        "headgate signals show ID ranks the causes; compare the devices on the bus with the plant's list.";
    SIGNAL_LOST 9006 70 Integrator "signal lost"
        "A signal delivers nothing that could be used, so nothing watches what it watched."
        "A broken wire, a saturated input, a source that no longer answers, or a clock that ran back."
        "headgate signals show ID names the flaw and what the input said; check sensor and wiring, or the file that is played.";
    CHANGED_AFTER_UPDATE 9007 60 Operator "changed after an update"
        "After a verified update the machine, or what the controller reports of it, behaves differently; no further update passes until a person has looked."
        "The update changed more than it should, or is malicious although it is signed."
        "Look at the machine. headgate plc show ID names the image to go back to; headgate plc unlock ID --reason TEXT opens the gate again.";
    NEW_ON_BUS 9008 70 Operator "new on the bus"
        "A unit talks, or a function is used, that was never seen on this bus while it was learned."
        "A new device or tool, or somebody who explores."
        "Find the device; if it belongs there: headgate signals learn ID.";
    GATEWAY_HEALTH 9009 70 Integrator "gateway unwell"
        "Temperature, supply, disk wear, memory, or a network interface of this gateway is outside its limits."
        "Heat, an ageing disk, overload, or a bad cable."
        "headgate signals list --all shows the figure.";
    REGIME_UNKNOWN 9010 70 Operator "operating regime never learned"
        "The controller runs in a regime in which its signals were not learned, or switches all the time, so nothing judges them."
        "A set point or mode that is new to the plant, a configuration that reads the wrong register, or a controller that hides behind it."
        "Look at the machine. If the regime is right it is learned by itself and the alarm ends; headgate signals list shows how far.";
    BASELINE_LOST 9011 70 Operator "learned behaviour lost"
        "What was learned of a signal could not be read when the gateway started, so it is learned anew from what the signal does now."
        "A failing disk, an earlier version of this gateway, or somebody who wants what is wrong to be learned as usual."
        "Look at the machine before you acknowledge: what it does while it is learned becomes what is usual. Then find out who or what damaged the file.";
}
