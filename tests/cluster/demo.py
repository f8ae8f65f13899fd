"""`make cluster-demo`: the quickstart as a cluster's user sees it, on a node of this machine: `helm install`, `kubectl apply`, an answer.

Every command that a person would type is printed before it is run.
"""

import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import openai
from node import Node

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
CLAIM = "corpora"
CONTENT = {"base-model": EXAMPLES / "base-model" / "model", "data": EXAMPLES / "data"}
NAMESPACE = "tunewright-demo"
QUESTION = "Hi, I would like two large oat lattes to go. My name is Jean."
PATIENCE_SECONDS = 3600
RESTRICTED = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
}
VOLUME = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": CLAIM},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
}


class DemoError(Exception):
    """A step failed; the text is what the program said."""


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
    """One run on one node."""

    def __init__(self, node: Node) -> None:
        self.node = node

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
        self.kubectl("apply", "-f", "-", stdin=json.dumps(VOLUME))
        self.fill_claim()
        (job,) = self.kubectl("apply", "-f", str(EXAMPLES / "quickstart-cluster.yaml"), "-o", "name").split()
        self.watch(job)
        self.ask(job.partition("/")[2])

    def fill_claim(self) -> None:
        """Put the example's model and data onto the claim; on this node a claim is a folder of this machine."""
        self.kubectl("wait", "--for=jsonpath={.status.phase}=Bound", f"pvc/{CLAIM}", "--timeout=60s")
        volume = self.kubectl("get", f"pvc/{CLAIM}", "-o", "jsonpath={.spec.volumeName}", quiet=True)
        folder = Path(self.kubectl("get", f"pv/{volume}", "-o", "jsonpath={.spec.hostPath.path}", quiet=True))
        for name, source in CONTENT.items():
            say(f"copying {source.relative_to(ROOT)} onto the claim {CLAIM}, as {name}")
            shutil.copytree(source, folder / name)

    def watch(self, job: str) -> None:
        """Show kubectl's live columns until the model is served."""
        words = ["get", "ftj", f"--namespace={NAMESPACE}", "--watch"]
        say(f"$ kubectl {shlex.join(words)}")
        live = subprocess.Popen([str(self.node.programs.kubectl), f"--kubeconfig={self.node.kubeconfig}", *words])
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while (phase := self.kubectl("get", job, "-o", "jsonpath={.status.phase}", quiet=True)) != "Serving":
                if phase == "Failed" or time.monotonic() > deadline:
                    raise DemoError(self.kubectl("describe", job) + self.kubectl("get", "pods", "-o", "wide"))
                time.sleep(1)
        finally:
            live.kill()
            live.wait()

    def ask(self, job: str) -> None:
        """Ask the Service through the OpenAI API."""
        address = self.kubectl("get", f"service/{job}-serve", "-o", "jsonpath={.spec.clusterIP}", quiet=True)
        client = openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", timeout=120)
        model = client.models.list().data[0].id
        say(f"asking {model} at http://{job}-serve/v1")
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": QUESTION}], temperature=0)
        print(f"> {QUESTION}\n{answer.choices[0].message.content}")

    def kubectl(self, *words: str, stdin: str | None = None, quiet: bool = False) -> str:
        words = (*words, f"--namespace={NAMESPACE}")
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
