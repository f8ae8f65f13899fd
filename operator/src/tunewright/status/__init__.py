"""What happened becomes what people, columns, `kubectl wait`, Flux and Argo CD read.

Promises conditions after kstatus whose times change only with their status, and numbers that never run backwards. Refuses to call
anything done that its Job has not called done: 100 % is a number, not a success.
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
