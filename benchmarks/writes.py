"""Counts an operator's writes in an API server's audit log, by verb and resource.

    python benchmarks/writes.py AUDIT_LOG             # of all jobs
    python benchmarks/writes.py AUDIT_LOG --job bot   # of one job and its children

To count those of a real served job, run `make cluster`, install the operator, serve a job, and pass the log of that cluster's API server.
"""

import argparse
from collections import Counter
from pathlib import Path

from operator_scale import USER_AGENT, columns, written  # also puts tests/cluster on the path

from audit import AuditLog  # isort: skip

READS = frozenset({"get", "list", "watch"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("--job", default="", help="count only this job and objects whose names begin with it and a dash or a dot")
    arguments = parser.parse_args()
    counts = count(arguments.log, arguments.job)
    print(columns([["request", "count"], *([what, str(often)] for what, often in counts.most_common()), ["all", str(counts.total())]]))


def count(log: Path, job: str) -> Counter[str]:
    """Count successful writes of the operator, without those of its Lease."""
    counts: Counter[str] = Counter()
    for event in AuditLog(log).events():
        ref = event.get("objectRef") or {}
        name = str(ref.get("name", ""))
        concerns = not job or name == job or name.startswith((f"{job}-", f"{job}."))
        done = event.get("responseStatus", {}).get("code", 500) < 300 and event["verb"] not in READS
        if event.get("userAgent") == USER_AGENT and done and concerns and ref.get("resource") != "leases":
            counts[written(event)] += 1
    return counts


if __name__ == "__main__":
    main()
