"""Checks the objects that a job names: claims, ConfigMaps, Secrets, a service account. Missing ones are returned, not raised.

Of a Secret, only the presence of the key is checked. If the operator may not read Secrets or service accounts, the kubelet and the Job's
controller report missing ones in pods and Events (see events.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.api.v1alpha1.pod_inputs import EnvVarSource, KeyToPath
from tunewright.api.v1alpha1.pod_settings import PodSettings
from tunewright.plan.inputs import Missing
from tunewright.plan.placement import SERVED_MODEL, Use, named_claims, volume_claims
from tunewright.plan.rollout import PublishedModel
from tunewright_contract.stages import STAGES
from tunewright_runtime.errors import Forbidden
from tunewright_runtime.lookups import OwnerLookups
from tunewright_runtime.objects import Manifest

_PULL_SECRETS = "imagePullSecrets"
_UNREAD = frozenset({"Secret", "ServiceAccount"})  # the operator may lack the right to read them
_WAYS_OUT = {
    "ConfigMap": "create it, or name another",
    "Secret": "kubectl create secret {type} {name} ...",
    "ServiceAccount": "kubectl create serviceaccount {name}, or name another",
}


class _Named(NamedTuple):
    """An object that a field names."""

    kind: str
    field: str
    name: str
    key: str = ""  # empty: the whole object


class Found(NamedTuple):
    """The objects of the cluster that a job names."""

    missing: tuple[Missing, ...]
    claims: Mapping[str, tuple[str, ...]]  # existing claims -> their access modes
    served: PublishedModel | Missing | None  # another job's model, which this job serves


async def look_up(client: OwnerLookups, job: FineTuneJob, served: PublishedModel | Missing | None = None) -> Found:
    """Look up everything that a job names. `served` is the model of `serving.modelRef`; its claim is looked up here.

    If the operator has no right to read Secrets or service accounts, the kubelet reports missing objects.
    """
    namespace = job.metadata.namespace
    claims = {use.claim: (use, await client.get("PersistentVolumeClaim", namespace, use.claim)) for use in _claims(job)}
    found = [_objection(use, claim, namespace) for use, claim in claims.values()]
    found += [await _missing(client, namespace, named) for named in _named(job)]
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


def _named(job: FineTuneJob) -> Iterator[_Named]:
    """Yield each ConfigMap, Secret and service account that the job needs, in the order of the fields that name them."""
    spec = job.spec
    hub = spec.model.source.hugging_face
    if hub is not None and hub.token_secret_ref is not None:
        yield _Named("Secret", "spec.model.source.huggingFace.tokenSecretRef", hub.token_secret_ref.name, hub.token_secret_ref.key)
    for split, sets in (("train", spec.data.train), ("validation", spec.data.validation), ("test", spec.data.test)):
        for index, item in enumerate(sets):
            if item.source.config_map:
                yield _Named(
                    "ConfigMap", f"spec.data.{split}[{index}].source.configMap", item.source.config_map.name, item.source.config_map.key
                )
    if spec.serving is not None and spec.serving.api_key_secret_ref is not None:
        yield _Named("Secret", "spec.serving.apiKeySecretRef", spec.serving.api_key_secret_ref.name, spec.serving.api_key_secret_ref.key)
    for stage in STAGES:
        settings = spec.written_settings(stage)
        if settings is not None:
            yield from _of_pods(f"spec.{stage.settings}", settings)


def _of_pods(path: str, settings: PodSettings) -> Iterator[_Named]:
    """Yield what the pods of one stage need to start."""
    if settings.service_account_name is not None:
        yield _Named("ServiceAccount", f"{path}.serviceAccountName", settings.service_account_name)
    for index, name in enumerate(settings.pull_secrets()):
        yield _Named("Secret", f"{path}.{_PULL_SECRETS}[{index}]", name)
    for index, variable in enumerate(settings.env or ()):
        value = variable.value_from or EnvVarSource()
        for kind, field, key in (
            ("ConfigMap", "configMapKeyRef", value.config_map_key_ref),
            ("Secret", "secretKeyRef", value.secret_key_ref),
        ):
            if key is not None and not key.optional:
                yield _Named(kind, f"{path}.env[{index}].valueFrom.{field}", key.name, key.key)
    for index, volume in enumerate(settings.volumes or ()):
        if volume.config_map is not None and not volume.config_map.optional:
            yield from _keys("ConfigMap", f"{path}.volumes[{index}].configMap", volume.config_map.name, volume.config_map.items)
        if volume.secret is not None and not volume.secret.optional:
            yield from _keys("Secret", f"{path}.volumes[{index}].secret", volume.secret.secret_name, volume.secret.items)


def _keys(kind: str, field: str, name: str, items: Sequence[KeyToPath] | None) -> Iterator[_Named]:
    """Yield each key that a volume needs. Without items, the object is enough."""
    for key in [item.key for item in items or ()] or [""]:
        yield _Named(kind, field, name, key)


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


async def _missing(client: OwnerLookups, namespace: str, named: _Named) -> Missing | None:
    kind, field, name, key = named
    try:
        found = await client.get(kind, namespace, name)
    except Forbidden:
        if kind in _UNREAD:
            return None
        raise
    if found is not None and (not key or key in found.get("data", {}) or key in found.get("binaryData", {})):
        return None
    lack = f"has no key {key}" if found is not None else f"does not exist in namespace {namespace}"
    way_out = _WAYS_OUT[kind].format(name=name, type="docker-registry" if _PULL_SECRETS in field else "generic")
    return Missing(field=field, kind=kind, name=name, message=f"it {lack}; {way_out}")
