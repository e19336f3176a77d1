package headgate
x := [[[[[[[[[[1]]]]]]]]]]
allow := true
deny := {y | y := x[_]}
