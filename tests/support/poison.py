"""FineTuneJobs that are valid for an API server without bounds, and end what reads them carelessly."""

from typing import Any

from ruamel.yaml import YAML
from scene import CRDS, JOB, Scene
from waiting import until

from tunewright.kube.kinds import SCHEME
from tunewright_runtime.decoding import JsonDecoder

PATH = f"/apis/{JOB[0]}/namespaces/{{}}/finetunejobs"

LISTS = "[" * 985 + "]" * 985
# Name -> what stands at spec.deepspeed.config.
CONFIGS = {
    "deep-lists": f'{{"a": {LISTS}}}',
    "deep-objects": '{"a":' * 700 + "1" + "}" * 700,
    "deep-mixed": '{"a":[' * 400 + "1" + "]}" * 400,
    "deep-after-quotes": '{"\\"[": "\\\\", "b": ' + LISTS + "}",
    "many-values": '{"a": [' + ",".join(["[]"] * 60_000) + "]}",
    "too-deep-by-one": "{" + '"a":{' * 80 + "}" * 80 + "}",
}
# And what can be read, and is nonsense.
READABLE = {
    "wide": '{"a": [' + ",".join(["[]"] * 20_000) + "]}",
    "long-key": '{"' + "k" * 1000 + '": 1}',
    "large-number": '{"a": 1e300, "b": 9223372036854775807}',
    "escapes": '{"a": "\\u0000\\u001b[2J\\u202e"}',
}


def job_text(name: str, config: str) -> str:
    """Return a FineTuneJob as JSON."""
    return (
        f'{{"apiVersion": "{JOB[0]}", "kind": "{JOB[1]}", "metadata": {{"name": "{name}"}}, "spec": {{"task": "ChatCompletion", '
        '"model": {"source": {"huggingFace": {"repo": "a/b"}}}, '
        '"data": {"train": [{"source": {"pvc": {"claimName": "c", "path": "a.jsonl"}}, "format": "messages"}]}, '
        f'"deepspeed": {{"config": {config}}}}}}}'
    )


def loosen(api: Any) -> None:
    """Take all bounds of the spec off the definition, as if an older one had let objects in."""
    (path,) = CRDS.glob("*.yaml")
    loose = YAML(typ="safe").load(path)
    (version,) = loose["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    made = api.apply(loose, keep=True)
    assert made.accepted, made.message
    probe = {"apiVersion": JOB[0], "kind": JOB[1], "metadata": {"name": "probe"}, "spec": {"anything": {"goes": True}}}
    until(lambda: api.create(probe, "default").accepted, "the definition has no bounds")


def store(scene: Scene, text: str) -> None:
    """Create a FineTuneJob from JSON as it is: Python's own writer recurses. JSON is YAML, and the client sends YAML unchanged."""
    answer = scene.api.dynamic.request("post", PATH.format(scene.namespace), body=text, content_type="application/yaml", serialize=False)
    assert answer.status == 201


def stored(scene: Scene, name: str) -> dict[str, Any]:
    """Return a FineTuneJob as far as it can be read."""
    return JsonDecoder(SCHEME).decode_object(
        scene.api.dynamic.request("get", f"{PATH.format(scene.namespace)}/{name}", serialize=False).data
    )
