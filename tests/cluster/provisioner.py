"""Volumes from folders of this machine: for each claim of the class `standard` a PersistentVolume, and with the volume its folder goes.

A program of its own beside the node's others: `python provisioner.py KUBECONFIG FOLDER`. Access modes are granted as asked, since every
pod is on one machine. A volume of the class `one-node` is bound to the node of its first pod, as a local disk is. Folders are writable by
all: kubelet does not change the group (fsGroup) of a folder of the machine.
"""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config, watch

PROVISIONER = "tunewright.io/host-folder"
STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": PROVISIONER,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "Immediate",
}
ONE_NODE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "one-node"},
    "provisioner": PROVISIONER,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
}
LOOK_ANYWAY_SECONDS = 30
_TRANSIENT = (client.ApiException, urllib3.exceptions.HTTPError, OSError)
_BY = "pv.kubernetes.io/provisioned-by"
_FOR = "volume.kubernetes.io/storage-provisioner"
_ON = "volume.kubernetes.io/selected-node"  # the scheduler writes it for a class that waits for the first pod


def volume_for(claim: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the volume that a claim gets; its name is derived from the claim's uid, so a second one cannot be made."""
    metadata, spec = claim["metadata"], claim["spec"]
    name = f"pvc-{metadata['uid']}"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "volumeMode": spec.get("volumeMode", "Filesystem"),
            "storageClassName": spec["storageClassName"],
            "persistentVolumeReclaimPolicy": "Delete",
            **node_of((metadata.get("annotations") or {}).get(_ON)),
            "hostPath": {"path": str(folder / name), "type": "Directory"},
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": metadata["name"], "namespace": metadata["namespace"]}
            | {"uid": metadata["uid"]},
        },
    }


def node_of(name: str | None) -> dict[str, Any]:
    """Return the field that keeps a volume's pods on one node."""
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [name]}
    return {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}} if name else {}


def waits_for_us(claim: Mapping[str, Any]) -> bool:
    """Return whether a claim has no volume and is for this provisioner, by an annotation of the volume controller."""
    metadata = claim["metadata"]
    asked = (metadata.get("annotations") or {}).get(_FOR) == PROVISIONER
    return asked and not claim["spec"].get("volumeName") and not metadata.get("deletionTimestamp")


def is_left(volume: Mapping[str, Any]) -> bool:
    """Tell whether a volume is ours and its claim is gone."""
    ours = (volume["metadata"].get("annotations") or {}).get(_BY) == PROVISIONER
    return ours and (volume.get("status") or {}).get("phase") == "Released"


class Provisioner:
    """Looks at everything whenever something changes: a node has few claims, and no event can then be missed."""

    def __init__(self, kubeconfig: str, folder: Path) -> None:
        self.folder = folder
        self.core = client.CoreV1Api(config.new_client_from_config(kubeconfig))
        self.plain = self.core.api_client.sanitize_for_serialization

    def run(self) -> None:
        """Handle every change, without end. If the API server does not answer, try again."""
        changed = threading.Event()
        for each in self.core.list_persistent_volume_claim_for_all_namespaces, self.core.list_persistent_volume:
            threading.Thread(target=tell_of_changes, args=(each, changed), daemon=True).start()
        while True:
            changed.wait(LOOK_ANYWAY_SECONDS)
            changed.clear()
            try:
                self.look()
            except _TRANSIENT as error:
                print(error, flush=True)
                time.sleep(1)
                changed.set()

    def look(self) -> None:
        """Make what is missing, remove what is left."""
        for claim in map(self.plain, self.core.list_persistent_volume_claim_for_all_namespaces().items):
            if waits_for_us(claim):
                self._make(claim)
        for volume in map(self.plain, self.core.list_persistent_volume().items):
            if is_left(volume):
                shutil.rmtree(self.folder / volume["metadata"]["name"], ignore_errors=True)
                self.core.delete_persistent_volume(volume["metadata"]["name"])

    def _make(self, claim: Mapping[str, Any]) -> None:
        volume = volume_for(claim, self.folder)
        folder = Path(volume["spec"]["hostPath"]["path"])
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
        try:
            self.core.create_persistent_volume(volume)
        except client.ApiException as error:
            if error.status != 409:  # made in the last round; the claim is bound in a moment
                raise


def tell_of_changes(listing: Callable[..., Any], changed: threading.Event) -> None:
    while True:
        try:
            for _ in watch.Watch().stream(listing, timeout_seconds=300):
                changed.set()
        except _TRANSIENT as error:
            print(error, flush=True)
            time.sleep(1)


if __name__ == "__main__":
    Provisioner(sys.argv[1], Path(sys.argv[2])).run()
