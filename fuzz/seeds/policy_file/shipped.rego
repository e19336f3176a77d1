# The policy that Headgate ships: what has walked the other stages of the gauntlet passes.
#
# A site's own policy is such a file: package headgate, with the rules allow and deny. An image passes when allow is true and
# deny is empty. What input holds is in docs/policy-input.schema.json.
package headgate

default allow := false

# Somebody stands behind it: a vendor by signature, or the site by its word.
allow if input.image.basis in {"vendor-signed", "site-vouched"}

deny contains msg if {
	some stage in input.stages
	stage.outcome in {"failed", "undecided"}
	msg := sprintf("stage %s: %s", [stage.stage, stage.found])
}
