"""Flux's own code for the health of objects: kstatus, built from `tests/gitops/kstatus/`. Standard library only."""

from binaries import HERE
from go_programs import GoProgram

KSTATUS = GoProgram("kstatus", HERE.parent / "gitops" / "kstatus", shared=(HERE.parent / "gitops" / "wire",))
