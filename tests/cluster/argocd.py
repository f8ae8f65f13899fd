"""Argo CD's own code for the health and the differences of objects, built from `tests/gitops/argocd/`. Standard library only."""

from binaries import HERE
from go_programs import GoProgram

ARGOCD = GoProgram("argocd", HERE.parent / "gitops" / "argocd", shared=(HERE.parent / "gitops" / "wire",))
