"""What a write of a FineTuneJob's status costs the API server, with the CRD as it is and with other ones.

    python benchmarks/status_patch.py               # two minutes
    python benchmarks/status_patch.py --writes 400  # with less noise

The variants follow each other in rounds, so that other load on the machine disturbs all of them alike. Compare the ratios. Times are
processor time of kube-apiserver and etcd, from /proc; a ConfigMap is the floor.
"""

import argparse
import copy
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from operator_scale import JOBS, NAMESPACE, ApiServer, UnthrottledPlane, Wire, columns, find, install_definition, usage
from ruamel.yaml import YAML
from scene import CRDS, JOB, SPEC

from tunewright.api.crdgen import IMMUTABLE_FIELDS, node_at
from tunewright.api.structural import Schema, structural
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright.api.v1alpha1.status import FineTuneJobStatus

MERGE = "application/merge-patch+json"
DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/finetunejobs.tunewright.io"
ROUNDS = 4
SETTLE_SECONDS = 6.0  # until the API server uses another definition


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writes", type=int, default=100, help="of each variant in each round (100)")
    writes: int = parser.parse_args().writes
    (path,) = CRDS.glob("*.yaml")
    spent: dict[str, list[float]] = {}
    with UnthrottledPlane(find()) as plane:
        wire = Wire(plane)
        wire.send("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        install_definition(ApiServer(plane.kubeconfig))
        wire.send("POST", JOBS, {"apiVersion": JOB[0], "kind": JOB[1], "metadata": {"name": "j"}, "spec": SPEC})
        wire.send("POST", f"/api/v1/namespaces/{NAMESPACE}/configmaps", {"metadata": {"name": "j"}, "data": {"a": "0"}})

        def status(number: int) -> None:
            wire.send("PATCH", f"{JOBS}/j/status", {"status": {"message": f"{number}"}}, MERGE)

        def config_map(number: int) -> None:
            wire.send("PATCH", f"/api/v1/namespaces/{NAMESPACE}/configmaps/j", {"data": {"a": f"{number}"}}, MERGE)

        for _ in range(ROUNDS):
            for name, definition in variants(path).items():
                wire.send("PATCH", DEFINITION, {"spec": definition["spec"]}, MERGE)
                time.sleep(SETTLE_SECONDS)
                spent.setdefault(name, []).append(cost(plane, status, writes))
            spent.setdefault("a ConfigMap", []).append(cost(plane, config_map, writes))
    least = sum(spent["a ConfigMap"]) / ROUNDS
    means = {name: sum(each) / len(each) for name, each in spent.items()}
    print(
        columns(
            [
                ["definition", "per write", "of a ConfigMap's"],
                *([name, f"{one:.1f} ms", f"{one / least:.1f}"] for name, one in means.items()),
            ]
        )
    )


def variants(path: Path) -> Mapping[str, Any]:
    """Return the committed definition, one with defaults, and one that also compares the specification with its earlier version."""
    committed = YAML(typ="safe").load(path)
    with_defaults = copy.deepcopy(committed)
    for name, model in (("spec", FineTuneJobSpec), ("status", FineTuneJobStatus)):
        _add_defaults(_schema(with_defaults)["properties"][name], structural(model))
    with_rules = copy.deepcopy(with_defaults)
    for field in IMMUTABLE_FIELDS:
        rules = node_at(_schema(with_rules), f"spec.{field}").setdefault("x-kubernetes-validations", [])
        rules.append({"rule": "self == oldSelf", "message": "no"})
    return {"defaults and immutability in the CRD": with_rules, "defaults in the CRD": with_defaults, "as committed": committed}


def _schema(definition: Any) -> Any:
    return definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def _add_defaults(node: Any, model: Schema) -> None:
    if "default" in model:
        node["default"] = model["default"]
    for name, part in model.get("properties", {}).items():
        _add_defaults(node["properties"][name], part)
    if "items" in model:
        _add_defaults(node["items"], model["items"])


def cost(plane: UnthrottledPlane, write: Callable[[int], None], writes: int) -> float:
    """Return milliseconds of processor time of a write."""
    for number in range(10):
        write(-number)
    before = _cpu(plane)
    for number in range(writes):
        write(number)
    return (_cpu(plane) - before) / writes * 1000


def _cpu(plane: UnthrottledPlane) -> float:
    pids = plane.pids()
    return sum(usage(pids[name]).cpu for name in ("kube-apiserver", "etcd"))


if __name__ == "__main__":
    main()
