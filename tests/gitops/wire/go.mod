module tunewright.io/tests/gitops/wire

go 1.26.0

require k8s.io/apimachinery v0.34.0
