"""Summarises the state of a job for people, columns, `kubectl wait`, Flux and Argo CD.

Promises conditions by the rules of kstatus, whose times change only with their status, and progress that never decreases. A stage is
done only when its Job has succeeded; 100 % progress is not enough.
"""

from tunewright.status.summary import (
    summarise,
    summarise_defect,
    summarise_forbidden,
    summarise_invalid,
    summarise_missing,
    summarise_refused,
    summarise_rejected,
)

__all__ = [
    "summarise",
    "summarise_defect",
    "summarise_forbidden",
    "summarise_invalid",
    "summarise_missing",
    "summarise_refused",
    "summarise_rejected",
]
