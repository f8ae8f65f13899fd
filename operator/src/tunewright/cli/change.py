"""`tunewright suspend`, `resume` and `retry`: one change of a stored job, and what follows from it."""

from tunewright.cli.console import fail, out, report_errors
from tunewright.cli.jobs import find
from tunewright.cli.places import Place, is_stalled
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
    """Run the failed stage of a job again. Exits with 1 if none has failed."""
    with report_errors():
        job = find(place, key)
        if not is_stalled(job):
            phase = job.get("status", {}).get("phase", "Pending")
            fail(f"{key.name} has not failed (phase {phase})", f"See: {place.command(f'describe {key.name}', key.namespace)}")
        out.print(place.retry(job), markup=False)
