//! 41xx: the site's policy.

hal::reasons! {
    POLICY_DENIES 4101 40 Approver "refused by the site's policy"
        "A rule of the site is against this image on this controller; the reasons are the policy's own."
        "The image is not what the site permits, or the policy is stricter than was meant."
        "mend what the reasons name; a rule is changed in the policy, with its approvers (docs/policy.md)";
    POLICY_UNDECIDED 4102 40 Approver "the site's policy did not decide"
        "The policy ended in an error, took too long, or answered with something that is no answer."
        "A rule of it is wrong for this image."
        "run it on the case's input: headgate policy test, and read docs/policy.md";
    POLICY_HOLDS 4103 60 Approver "held by the site's policy"
        "A rule of the site is against this image, and the zone of the controller holds such images."
        "The image is not what the site permits, or the policy is stricter than was meant."
        "mend what the reasons name, or have the policy changed by its approvers, then try again";
    POLICY_ENDED 4104 51 Approver "the site's policy is past its time"
        "The policy was to be looked at again by now, and nothing is decided by an old one."
        "Nobody has renewed it, or the clock of the gateway is wrong."
        "review the policy and give it a new expires in [policy]; check the clock";
    POLICY_NO_MATCH 4105 41 Approver "no rule of the site's policy is for it"
        "Nothing in the policy is against this image, and nothing says that it may pass."
        "The policy has no rule for this vendor, model or controller."
        "add a rule that allows it, with the policy's approvers (docs/policy.md)";
}
