"""The claim for checkpoints and models, if the job names none."""

from tunewright.plan import label_names
from tunewright.plan.label_names import SHARED
from tunewright.plan.plan_types import FineTunePlan
from tunewright.render.labels import INSTANCE, JsonObject, metadata

_WHY_RETAINED = "holds checkpoints and models; deleting the FineTuneJob leaves it, deleting this claim deletes them"
# Argo CD's tracking label can be another one, and a person may have put the claim into a repository of Flux.
_NEVER_PRUNED = {"argocd.argoproj.io/sync-options": "Prune=false,Delete=false", "kustomize.toolkit.fluxcd.io/prune": "disabled"}


def render_volume_claim(plan: FineTunePlan) -> tuple[JsonObject, ...]:
    """Return the claim to create. A retained one has no owner, so that garbage collection keeps it, and an annotation that records this.

    With label tracking, Argo CD takes an object without an owner for its Application's if the label `app.kubernetes.io/instance` has that
    Application's name, and prunes it if it is not in Git. A retained claim therefore lacks this label.
    """
    new = plan.storage.create
    if new is None:
        return ()
    retain = plan.storage.retain
    described = metadata(
        plan,
        plan.storage.output_claim,
        SHARED,
        annotations={label_names.RETAIN: _WHY_RETAINED, **_NEVER_PRUNED} if retain else None,
        owned=not retain,
    )
    if retain:
        described["labels"] = {name: value for name, value in described["labels"].items() if name != INSTANCE}
    storage_class = {} if new.storage_class is None else {"storageClassName": new.storage_class}
    return (
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": described,
            "spec": {"accessModes": list(new.access_modes), "resources": {"requests": {"storage": new.size}}, **storage_class},
        },
    )
