"""`tunewright suspend`, `resume` and `retry`: one change of a stored job, and what follows from it."""

from tunewright.cli.console import fail, out, report_errors
from tunewright.cli.jobs import find
from tunewright.cli.places import Place, is_stalled
from tunewright.status.retries import can_help
from tunewright_runtime.objects import Key


def suspend(place: Place, key: Key, *, suspended: bool) -> None:
    """Set spec.suspend, unless it is set so."""
    word = "suspended" if suspended else "resumed"
    with report_errors():
        job = find(place, key)
        if bool(job["spec"].get("suspend", False)) == suspended:
            out.print(f"FineTuneJob {key.namespace}/{key.name} is {'suspended already' if suspended else 'not suspended'}", markup=False)
            return
        place.suspend(job, suspended=suspended)
    out.print(f"FineTuneJob {key.namespace}/{key.name} {word}", markup=False)


def retry(place: Place, key: Key) -> None:
    """Run the failed stage of a job again. Exits with 1 if a retry runs none."""
    with report_errors():
        job = find(place, key)
        status = job.get("status", {})
        if not can_help(status):
            way_out = f"See: {place.command(f'describe {key.name}', key.namespace)}"
            if is_stalled(job):
                fail(f"a retry does not help {key.name}: {status['reason']}", (status.get("failure") or {}).get("suggestion") or way_out)
            fail(f"{key.name} has not failed (phase {status.get('phase', 'Pending')})", way_out)
        out.print(place.retry(job), markup=False)
