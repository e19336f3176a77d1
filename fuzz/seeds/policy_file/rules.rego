package headgate
import rego.v1
allow if count(input.image.signers) >= 0
deny contains {"code": "S1", "msg": m} if { some c in input.sbom.components; m := concat(" ", [c.name, c.version]) }
test_a if allow with input as {"image": {"signers": []}}
