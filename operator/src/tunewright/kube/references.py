"""Checks the objects that a job names: claims, ConfigMaps, Secrets, a service account. Missing ones are returned, not raised.

Of a Secret, only the presence of the key is checked. If the operator may not read Secrets or service accounts, the kubelet and the Job's
controller report missing ones in pods and Events (see events.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.api.v1alpha1.pod_settings import PodSettings
from tunewright.api.v1alpha1.pod_volumes import KeyToPath
from tunewright.plan.inputs import Missing
from tunewright.plan.placement import SERVED_MODEL, Use, named_claims, volume_claims
from tunewright.plan.rollout import PublishedModel
from tunewright_contract.stages import STAGES
from tunewright_runtime.errors import Forbidden
from tunewright_runtime.lookups import OwnerLookups
from tunewright_runtime.objects import Manifest

_PULL_SECRETS = "imagePullSecrets"


class Found(NamedTuple):
    """The objects of the cluster that a job names."""

    missing: tuple[Missing, ...]
    claims: Mapping[str, tuple[str, ...]]  # existing claims -> their access modes
    served: PublishedModel | Missing | None  # another job's model, which this job serves


async def look_up(client: OwnerLookups, job: FineTuneJob, served: PublishedModel | Missing | None = None) -> Found:
    """Look up everything that a job names. `served` is the model of `serving.modelRef`; its claim is looked up here.

    If the operator has no right to read a kind, the kubelet reports missing objects.
    """
    namespace = job.metadata.namespace
    claims = {use.claim: (use, await client.get("PersistentVolumeClaim", namespace, use.claim)) for use in _claims(job)}
    found = [_objection(use, claim, namespace) for use, claim in claims.values()]
    found += [await _config_map(client, namespace, *named) for named in _config_maps(job)]
    found += [await _secret(client, namespace, *named) for named in _secrets(job)]
    found += [await _service_account(client, namespace, *named) for named in _service_accounts(job)]
    return Found(
        missing=tuple(item for item in found if item is not None),
        claims={name: _access_modes(claim) for name, (_, claim) in claims.items() if claim is not None},
        served=await _with_claim(client, namespace, served) if isinstance(served, PublishedModel) else served,
    )


async def _with_claim(client: OwnerLookups, namespace: str, served: PublishedModel) -> PublishedModel | Missing:
    claim = await client.get("PersistentVolumeClaim", namespace, served.claim)
    if objection := _objection(Use(SERVED_MODEL, served.claim), claim, namespace):
        return objection
    return served.model_copy(update={"access_modes": _access_modes(claim or {})})


def _claims(job: FineTuneJob) -> Iterator[Use]:
    """Yield each claim once, under the first field that names it."""
    output = job.spec.output
    named = list(named_claims(job))
    if output.storage.claim_name is not None:
        named.append(Use("spec.output.storage.claimName", output.storage.claim_name))
    named += [
        Use(f"spec.output.destinations[{index}].pvc.claimName", item.pvc.claim_name) for index, item in enumerate(output.destinations)
    ]
    named += [use for stage in STAGES for use in volume_claims(job, stage)]
    first: dict[str, Use] = {}
    for use in named:
        first.setdefault(use.claim, use)
    yield from first.values()


def _config_maps(job: FineTuneJob) -> Iterator[tuple[str, str, str]]:
    """Yield (field, name, key). Without a key, the whole ConfigMap is named."""
    data = job.spec.data
    for split, sets in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        for index, item in enumerate(sets):
            if item.source.config_map:
                yield f"spec.data.{split}[{index}].source.configMap", item.source.config_map.name, item.source.config_map.key
    for path, settings in _settings(job):
        for index, variable in enumerate(settings.env or ()):
            key = variable.value_from.config_map_key_ref if variable.value_from else None
            if key is not None and not key.optional:
                yield f"{path}.env[{index}].valueFrom.configMapKeyRef", key.name, key.key
        for index, volume in enumerate(settings.volumes or ()):
            if volume.config_map is not None and not volume.config_map.optional:
                for name in _keys(volume.config_map.items):
                    yield f"{path}.volumes[{index}].configMap", volume.config_map.name, name


def _secrets(job: FineTuneJob) -> Iterator[tuple[str, str, str]]:
    """Yield (field, name, key). Without a key, the whole Secret is named."""
    source = job.spec.model.source.hugging_face
    if source is not None and source.token_secret_ref is not None:
        yield "spec.model.source.huggingFace.tokenSecretRef", source.token_secret_ref.name, source.token_secret_ref.key
    serving = job.spec.serving
    if serving is not None and serving.api_key_secret_ref is not None:
        yield "spec.serving.apiKeySecretRef", serving.api_key_secret_ref.name, serving.api_key_secret_ref.key
    for path, settings in _settings(job):
        for index, name in enumerate(settings.pull_secrets()):
            yield f"{path}.{_PULL_SECRETS}[{index}]", name, ""
        for index, variable in enumerate(settings.env or ()):
            key = variable.value_from.secret_key_ref if variable.value_from else None
            if key is not None and not key.optional:
                yield f"{path}.env[{index}].valueFrom.secretKeyRef", key.name, key.key
        for index, volume in enumerate(settings.volumes or ()):
            if volume.secret is not None and not volume.secret.optional:
                for name in _keys(volume.secret.items):
                    yield f"{path}.volumes[{index}].secret", volume.secret.secret_name, name


def _settings(job: FineTuneJob) -> Iterator[tuple[str, PodSettings]]:
    """Yield the pod settings that the job writes, with their place."""
    for stage in STAGES:
        settings = job.spec.written_settings(stage)
        if settings is not None:
            yield f"spec.{stage.settings}", settings


def _keys(items: Sequence[KeyToPath] | None) -> list[str]:
    """Return the keys that a volume needs. None are named: the object is enough."""
    return [item.key for item in items or ()] or [""]


def _service_accounts(job: FineTuneJob) -> Iterator[tuple[str, str]]:
    """Yield (field, name)."""
    for path, settings in _settings(job):
        if settings.service_account_name is not None:
            yield f"{path}.serviceAccountName", settings.service_account_name


def _objection(use: Use, claim: Manifest | None, namespace: str) -> Missing | None:
    if claim is None:
        message = f"there is no such claim in namespace {namespace}; create it, or name another"
    elif claim.get("status", {}).get("phase") == "Lost":
        message = "its volume is gone (phase Lost); restore the volume, or name another claim"
    elif claim["metadata"].get("deletionTimestamp"):
        message = "it is being deleted; name another claim"
    else:
        return None
    return Missing(field=use.field, kind="PersistentVolumeClaim", name=use.claim, message=message)


def _access_modes(claim: Manifest) -> tuple[str, ...]:
    """Return the access modes of the bound volume; before there is one, those that the claim requests."""
    modes = claim.get("status", {}).get("accessModes") or claim.get("spec", {}).get("accessModes") or ()
    return tuple(str(mode) for mode in modes)


async def _config_map(client: OwnerLookups, namespace: str, field: str, name: str, key: str) -> Missing | None:
    found = await client.get("ConfigMap", namespace, name)
    if found is not None and (not key or key in found.get("data", {}) or key in found.get("binaryData", {})):
        return None
    lack = f"has no key {key}" if found is not None else f"does not exist in namespace {namespace}"
    return Missing(field=field, kind="ConfigMap", name=name, message=f"it {lack}; create it, or name another")


async def _secret(client: OwnerLookups, namespace: str, field: str, name: str, key: str) -> Missing | None:
    try:
        found = await client.get("Secret", namespace, name)
    except Forbidden:
        return None
    if found is not None and (not key or key in found.get("data", {})):
        return None
    lack = f"has no key {key}" if found is not None else f"does not exist in namespace {namespace}"
    kind = "docker-registry" if _PULL_SECRETS in field else "generic"
    return Missing(field=field, kind="Secret", name=name, message=f"it {lack}; kubectl create secret {kind} {name} ...")


async def _service_account(client: OwnerLookups, namespace: str, field: str, name: str) -> Missing | None:
    try:
        if await client.get("ServiceAccount", namespace, name) is not None:
            return None
    except Forbidden:
        return None
    message = f"it does not exist in namespace {namespace}; kubectl create serviceaccount {name}, or name another"
    return Missing(field=field, kind="ServiceAccount", name=name, message=message)
