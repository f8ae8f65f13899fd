"""A FineTuneJob on real pods as its user works: fill claims, apply manifests, read status, send requests to the model's Service."""

import copy
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from content import fill_claim
from kubernetes.dynamic.exceptions import TooManyRequestsError
from ruamel.yaml import YAML
from scene import JOB
from waiting import until

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
QUICKSTART = EXAMPLES / "quickstart-cluster.yaml"
QUICKSTART_JOB = "support-bot-cluster"  # its name
WRONG_LINE = 17  # of the file `wrong/train.jsonl` on the claim `corpora`
PATIENCE_SECONDS = 900  # training on a loaded machine; a job that fails is noticed at once
KILLED = 137  # 128 and the number of SIGKILL
KILL_RANKS = "import os; [os.kill(int(p), 9) for p in os.listdir('/proc') if p.isdigit() and b'tunewright_trainer\\0train' in open(f'/proc/{p}/cmdline', 'rb').read()]"
Spec = dict[str, Any]


def quickstart() -> Spec:
    """Return the spec of the example for clusters."""
    spec: Spec = YAML(typ="safe").load(QUICKSTART)["spec"]
    return spec


def classifier() -> Spec:
    """Return the spec of the classification example with its files on the claim `corpora`, and two workers with 24 steps."""
    spec: Spec = YAML(typ="safe").load(EXAMPLES / "classification.yaml")["spec"]
    spec["model"]["source"] = {"pvc": {"claimName": "corpora", "path": "base-model"}}
    for files in (spec["data"][split] for split in ("train", "validation", "test")):
        for file in files:
            file["source"] = {"pvc": {"claimName": "corpora", "path": file["source"]["path"]}}
    spec["training"] |= {"maxSteps": 24, "evalStrategy": "steps", "evalSteps": 12, "saveStrategy": "steps", "saveSteps": 12}
    spec["deepspeed"] = {"stage": 2}
    spec["workers"] = quickstart()["workers"]
    spec["serving"]["resources"] = quickstart()["serving"]["resources"]
    return spec


def short(spec: Spec) -> Spec:
    """Return it with a third of the steps and neither evaluation nor server."""
    wanted = copy.deepcopy(spec)
    wanted["training"] |= {"maxSteps": 40, "saveSteps": 5, "evalStrategy": "no", "loggingSteps": 1}
    wanted["evaluation"] = {"generateSamples": 0}
    wanted.pop("serving", None)
    return wanted


def of(job: str, component: str) -> str:
    """Return the selector of one stage's objects."""
    return f"tunewright.io/job-name={job},tunewright.io/component={component}"


class Desk:
    """One namespace of a cluster, and a user's actions in it."""

    def __init__(self, cluster: Any, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl here and return what it printed; the test ends where it fails."""
        done = self.cluster.kubectl(f"--namespace={self.namespace}", *words, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stdout}{done.stderr}"
        return str(done.stdout)

    def get(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """Return an object, or None."""
        shown = self.kubectl("get", kind, name, "--ignore-not-found", "-o", "json")
        return json.loads(shown) if shown else None

    def all(self, kind: str, selector: str = "") -> list[Mapping[str, Any]]:
        """Return all objects of a kind that bear these labels."""
        found: list[Mapping[str, Any]] = json.loads(self.kubectl("get", kind, "-o", "json", f"--selector={selector}"))["items"]
        return found

    def apply(self, name: str, spec: Spec) -> None:
        """`kubectl apply` a FineTuneJob."""
        job = {"apiVersion": "tunewright.io/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": name}, "spec": spec}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(job))

    def patch(self, name: str, **spec: Any) -> None:
        """`kubectl patch` fields of a FineTuneJob's spec."""
        self.kubectl("patch", "finetunejob", name, "--type=merge", "--patch", json.dumps({"spec": spec}))

    def events(self, name: str) -> list[Mapping[str, Any]]:
        """Return the operator's Events of a FineTuneJob."""
        about = f"involvedObject.kind=FineTuneJob,involvedObject.name={name}"
        found: list[Mapping[str, Any]] = json.loads(self.kubectl("get", "events", "-o", "json", f"--field-selector={about}"))["items"]
        return found

    def status(self, name: str) -> dict[str, Any]:
        """Return a job's status, empty before there is one. Not through kubectl: tests look at it twice a second for minutes."""
        return dict((self.cluster.api.get(*JOB, name, self.namespace) or {}).get("status", {}))

    def until(self, name: str, condition: Callable[[dict[str, Any]], Any], why: str) -> Any:
        """Wait until a job's status meets a condition; return what it gave. A job that fails meanwhile ends the test with its reason."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (met := condition(status := self.status(name))):
            if status.get("phase") == "Failed" or time.monotonic() > deadline:
                pytest.fail(f"{name}: waited for: {why}\n{json.dumps(status, indent=1)}\n{self.kubectl('get', 'pods,jobs', '-o', 'wide')}")
            time.sleep(0.5)
        return met

    def until_phase(self, name: str, phase: str) -> dict[str, Any]:
        """Wait for a phase; return the status."""
        status: dict[str, Any] = self.until(name, lambda status: status.get("phase") == phase and status, f"phase {phase}")
        return status

    def evict(self, pod: str) -> str:
        """Ask for a pod's eviction, as `kubectl drain` does for each. Returns why it is refused; nothing where it is not."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": self.namespace}}
        pods = self.cluster.api.dynamic.resources.get(api_version="v1", kind="Pod")
        try:
            pods.subresources["eviction"].create(body=body, name=pod, namespace=self.namespace)
        except TooManyRequestsError as refused:
            return str(json.loads(refused.body)["message"])
        return ""

    def fill_claim(self, claim: str, image: str, folders: Mapping[str, Path]) -> None:
        """Make a claim and copy folders into it (name there -> folder here)."""
        fill_claim(self.kubectl, claim, image, folders)


def move_server(desk: Desk, node: str) -> None:
    """Let the quickstart's server be created again on this node."""
    servers = of(QUICKSTART_JOB, "server")
    others = nodes(desk, servers)
    desk.kubectl("cordon", *others)
    # Its claim is ReadWriteOnce: the next pod is refused by affinity to the one that leaves. The scheduler looks at it again minutes later
    # (InterPodAffinity does not queue a pod for such a deletion), and at a newer one at once.
    for _ in range(2):
        desk.kubectl("delete", "pod", f"--selector={servers}", "--timeout=120s")
    until(lambda: nodes(desk, servers) == {node} and is_served(desk), f"its server is on {node}", patience=300)
    desk.kubectl("uncordon", *others)


def is_served(desk: Desk) -> bool:
    return desk.status(QUICKSTART_JOB)["reason"] == "Serving"


def nodes(desk: Desk, selector: str) -> set[str]:
    """Return the nodes of the pods that are not leaving."""
    return {pod["spec"].get("nodeName", "") for pod in desk.all("pods", selector) if "deletionTimestamp" not in pod["metadata"]}


def kill_ranks(desk: Desk, pod: Mapping[str, Any]) -> None:
    """`kill -9` the processes in a pod that train: torchrun's children, not itself. The container can end before the command that kills them."""
    words = ("exec", pod["metadata"]["name"], f"--namespace={desk.namespace}", "--", "python3", "-c", KILL_RANKS)
    done = desk.cluster.kubectl(*words)
    assert done.returncode in {0, KILLED}, done.stderr


def steps_since_resumed(status: dict) -> int:
    """Return how many steps the present attempt has made; 0 also where it is the first."""
    resumed = status.get("checkpoint", {}).get("resumedFromStep")
    return 0 if resumed is None else status["progress"]["step"] - resumed
