"""What a job names and the cluster must hold: claims, ConfigMaps, Secrets. What is not there is listed with the way out, not raised.

Of a Secret only the presence of its key is looked at. Where the operator may not read Secrets (the chart's default gives no such right),
that is left to the kubelet, whose complaint is read from the pod.
"""

from collections.abc import Iterator, Sequence

from tunewright.api.v1alpha1.common import SecretKeyRef
from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.kube.client import Client
from tunewright.kube.faults import Forbidden
from tunewright.plan.inputs import Missing


async def missing_references(client: Client, job: FineTuneJob) -> Sequence[Missing]:
    """Return what is not there."""
    namespace = job.metadata.namespace
    found: list[Missing | None] = [await _claim(client, namespace, *claim) for claim in _claims(job)]
    found += [await _config_map(client, namespace, *named) for named in _config_maps(job)]
    found += [await _secret(client, namespace, *named) for named in _secrets(job)]
    return [item for item in found if item is not None]


def _claims(job: FineTuneJob) -> Iterator[tuple[str, str]]:
    """Yield (field, claim) once for each claim."""
    spec = job.spec
    named = [("spec.model.source.pvc.claimName", spec.model.source.pvc.claim_name)] if spec.model.source.pvc else []
    for split, sets in (("train", spec.data.train), ("validation", spec.data.validation), ("test", spec.data.test)):
        named += [
            (f"spec.data.{split}[{index}].source.pvc.claimName", item.source.pvc.claim_name)
            for index, item in enumerate(sets)
            if item.source.pvc
        ]
    if spec.output.storage.claim_name is not None:
        named.append(("spec.output.storage.claimName", spec.output.storage.claim_name))
    named += [
        (f"spec.output.destinations[{index}].pvc.claimName", item.pvc.claim_name)
        for index, item in enumerate(spec.output.destinations)
        if item.pvc
    ]
    seen: set[str] = set()
    for field, claim in named:
        if claim not in seen:
            seen.add(claim)
            yield field, claim


def _config_maps(job: FineTuneJob) -> Iterator[tuple[str, str, str]]:
    """Yield (field, name, key)."""
    data = job.spec.data
    for split, sets in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        for index, item in enumerate(sets):
            if item.source.config_map:
                yield f"spec.data.{split}[{index}].source.configMap", item.source.config_map.name, item.source.config_map.key


def _secrets(job: FineTuneJob) -> Iterator[tuple[str, SecretKeyRef]]:
    source = job.spec.model.source.hugging_face
    if source is not None and source.token_secret_ref is not None:
        yield "spec.model.source.huggingFace.tokenSecretRef", source.token_secret_ref


async def _claim(client: Client, namespace: str, field: str, name: str) -> Missing | None:
    claim = await client.get("PersistentVolumeClaim", namespace, name)
    if claim is None:
        message = f"there is no such claim in namespace {namespace}; create it, or name another"
    elif claim.get("status", {}).get("phase") == "Lost":
        message = "its volume is gone (phase Lost); restore the volume, or name another claim"
    elif claim["metadata"].get("deletionTimestamp"):
        message = "it is being deleted; name another claim"
    else:
        return None
    return Missing(field=field, kind="PersistentVolumeClaim", name=name, message=message)


async def _config_map(client: Client, namespace: str, field: str, name: str, key: str) -> Missing | None:
    found = await client.get("ConfigMap", namespace, name)
    if found is not None and (key in found.get("data", {}) or key in found.get("binaryData", {})):
        return None
    lack = f"has no key {key}" if found is not None else f"does not exist in namespace {namespace}"
    return Missing(field=field, kind="ConfigMap", name=name, message=f"it {lack}; create it, or name another")


async def _secret(client: Client, namespace: str, field: str, ref: SecretKeyRef) -> Missing | None:
    try:
        found = await client.get("Secret", namespace, ref.name)
    except Forbidden:
        return None
    if found is not None and ref.key in found.get("data", {}):
        return None
    lack = f"has no key {ref.key}" if found is not None else f"does not exist in namespace {namespace}"
    return Missing(field=field, kind="Secret", name=ref.name, message=f"it {lack}; kubectl create secret generic {ref.name} ...")
