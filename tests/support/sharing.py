"""Which tests one worker of pytest-xdist runs together, and which of them start first (`pytest -n 3`).

A file is run by one worker, so its fixtures are made once. Some tests share what is expensive: one worker has the node, and one imports
torch and trains. What takes longest starts first, so that no worker is left alone with it at the end. cluster/test_which_cluster.py needs an
API server on which no other test has installed the definition, so it comes before them.

`--dist loadgroup` cannot do this: pytest-xdist 3.8.0 names groups in `Item._nodeid`, which pytest 9.2 no longer reads.
"""

from pathlib import PurePath
from typing import Any

from xdist.scheduler import LoadScopeScheduling

GROUPS = {  # folder or file -> the group that one worker runs whole
    "node": "node",  # one on a machine
    "trainer": "training",
    "export": "training",
    "plan/test_counts.py": "training",
    "plan/test_deepspeed_config.py": "training",
    "plan/test_library_arguments.py": "training",
    "plan/test_optimizer_states.py": "training",
    "hostile/test_base_models.py": "training",
    "hostile/test_server_question_answering.py": "training",
    "hostile/test_special_tokens.py": "training",
    "server/test_encoder_exactness.py": "training",
    "server/test_engine_exactness.py": "training",
    "server/test_generation_config.py": "training",
    "server/test_question_answering.py": "training",
    "server/test_sequence_to_sequence.py": "training",
    "server/test_translator_exactness.py": "training",
}
FOLDERS_ON_A_CLUSTER = ("chart", "command_line", "contract", "faults", "gitops", "hostile", "kube", "node", "runtime", "shell")
FIRST = ("node", "cluster/test_which_cluster.py", "trainer", "export", "e2e", "faults", "shell", "local", "server")


def group_of(nodeid: str, *, one_cluster: bool) -> str:
    """Return the group of a test, by its id (`tests/plan/test_zero.py::…`). `one_cluster`: all workers use the cluster of `KUBECONFIG`."""
    folder, file = names = _names(nodeid)
    if one_cluster and folder in FOLDERS_ON_A_CLUSTER:
        return "cluster"  # these tests replace FineTuneJobs' definition
    return next((GROUPS[name] for name in names if name in GROUPS), f"tests/{file}")


def place_of(nodeid: str) -> int:
    """Return where a test stands in the order; equal numbers keep the order of collection."""
    names = _names(nodeid)
    return next((place for place, name in enumerate(FIRST) if name in names), len(FIRST))


class Sharing(LoadScopeScheduling):  # type: ignore[misc]
    """Hands whole groups to workers, in the order of collection."""

    one_cluster = False

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid, one_cluster=self.one_cluster)


def encodable(data: Any) -> Any:
    """Return a report as a worker sends it, with each lone surrogate written out: execnet sends UTF-8, and ends the run where it cannot."""
    if isinstance(data, str):
        return data.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(data, dict):
        return {encodable(key): encodable(value) for key, value in data.items()}
    return type(data)(encodable(item) for item in data) if isinstance(data, list | tuple) else data


def _names(nodeid: str) -> tuple[str, str]:
    """Return a test's folder and its file, both without `tests/`."""
    path = PurePath(nodeid.split("::", maxsplit=1)[0]).relative_to("tests")
    return path.parts[0], path.as_posix()
