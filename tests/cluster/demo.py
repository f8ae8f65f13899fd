"""`make cluster-demo`: the quickstart as a cluster's user runs it, on a node of this machine: `helm install`, `kubectl apply`, an answer.

Every command that a person would type is printed before it is run. The tests on real pods take the same steps.
"""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openai
from content import fill_claim

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
CLAIM = "corpora"
CONTENT = {"base-model": EXAMPLES / "base-model" / "model", "data": EXAMPLES / "data"}
NAMESPACE = "tunewright-demo"
QUESTION = "Hi, I would like two large oat lattes to go. My name is Jean."
PATIENCE_SECONDS = 3600
LOOK_SECONDS = 3  # each look starts a kubectl
RESTRICTED = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
}


class DemoError(Exception):
    """A step failed; the message is the program's output."""


def image_values(images: Mapping[str, str]) -> list[str]:
    """Return helm's options for images by their full references. As strings: a tag of digits only is no number."""
    options = []
    for name, reference in sorted(images.items()):
        repository, _, tag = reference.rpartition(":")
        registry, _, path = repository.partition("/")
        parts = {"registry": registry, "repository": path, "tag": tag}
        options += [f"--set-string=images.{name}.{part}={value}" for part, value in parts.items()]
    return options


class Demo:
    """One run in one namespace of a cluster: a `Node`, or what has its `kubectl`, `helm`, `kubeconfig` and `programs`."""

    def __init__(self, node: Any, namespace: str = NAMESPACE) -> None:
        self.node = node
        self.namespace = namespace

    def run(self, archives: Mapping[str, Path]) -> None:
        """Bring a job from its manifest to an answer. Raises `DemoError`."""
        images = {}
        for name, archive in sorted(archives.items()):
            say(f"loading the {name}'s image ({archive.stat().st_size / 2**20:.0f} MiB)")
            (images[name],) = self.node.load_image(archive)
        self.helm(
            "install",
            "tunewright",
            str(ROOT / "charts/tunewright"),
            "--namespace=tunewright-system",
            "--create-namespace",
            "--wait",
            *image_values(images),
        )
        self.kubectl("apply", "-f", "-", stdin=json.dumps(RESTRICTED))
        say(f"copying {', '.join(str(source.relative_to(ROOT)) for source in CONTENT.values())} onto the claim {CLAIM}")
        fill_claim(self.kubectl, CLAIM, images["trainer"], CONTENT)
        self.ask(self.train())

    def train(self) -> str:
        """Apply the example, which takes the claim for filled, and watch it until its model is served. Returns the job's name."""
        (job,) = self.kubectl("apply", "-f", str(EXAMPLES / "quickstart-cluster.yaml"), "-o", "name").split()
        self.watch(job)
        return job.partition("/")[2]

    def watch(self, job: str) -> None:
        """Show kubectl's live columns until the model is served."""
        words = ["get", "ftj", f"--namespace={self.namespace}", "--watch"]
        say(f"$ kubectl {shlex.join(words)}")
        live = subprocess.Popen([str(self.node.programs.kubectl), f"--kubeconfig={self.node.kubeconfig}", *words])
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while (phase := self.kubectl("get", job, "-o", "jsonpath={.status.phase}", quiet=True)) != "Serving":
                if phase == "Failed" or time.monotonic() > deadline:
                    raise DemoError(self.kubectl("describe", job) + self.kubectl("get", "pods", "-o", "wide"))
                time.sleep(LOOK_SECONDS)
        finally:
            live.kill()
            live.wait()

    def ask(self, job: str) -> str:
        """Ask the Service through the OpenAI API; return the answer."""
        address = self.kubectl("get", f"service/{job}-serve", "-o", "jsonpath={.spec.clusterIP}", quiet=True)
        client = openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", timeout=120)
        model = client.models.list().data[0].id
        say(f"asking {model} at http://{job}-serve/v1")
        said = client.chat.completions.create(model=model, messages=[{"role": "user", "content": QUESTION}], temperature=0)
        answer = str(said.choices[0].message.content)
        print(f"> {QUESTION}\n{answer}")
        return answer

    def kubectl(self, *words: str, stdin: str | None = None, quiet: bool = False) -> str:
        words = (f"--namespace={self.namespace}", *words)  # first: what follows -- is for a program in a pod
        return step(self.node.kubectl(*words, stdin=stdin), None if quiet else ("kubectl", *words))

    def helm(self, *words: str) -> str:
        return step(self.node.helm(*words), ("helm", *words))


def step(done: subprocess.CompletedProcess[str], shown: tuple[str, ...] | None) -> str:
    """Return what a program printed. Raises `DemoError`."""
    if shown:
        say(f"$ {shlex.join(shown)}")
    if done.returncode:
        raise DemoError(f"{done.stdout}{done.stderr}".strip())
    if shown:
        print(done.stdout, end="")
    return done.stdout


def say(text: str) -> None:
    print(f"\n{text}", file=sys.stderr, flush=True)
