"""Summarises what happened for people, columns, `kubectl wait`, Flux and Argo CD.

Promises conditions by the rules of kstatus, whose times change only with their status, and progress that never decreases. A stage counts as
done only when its Job is: 100 % progress is no success.
"""

from tunewright.status.summary import (
    summarise,
    summarise_defect,
    summarise_forbidden,
    summarise_invalid,
    summarise_missing,
    summarise_rejected,
)

__all__ = ["summarise", "summarise_defect", "summarise_forbidden", "summarise_invalid", "summarise_missing", "summarise_rejected"]
