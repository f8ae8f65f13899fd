"""What the API server's refusal of a trial pod means for its stage."""

import pytest

from tunewright.observe.pod_refusals import misfit_of
from tunewright_contract.stages import EXPORT, TRAIN

FORBIDDEN = 'create Pod in demo: 403 pods "bot-export-trial-x" is forbidden:'
QUOTA = f"{FORBIDDEN} exceeded quota: small,"


@pytest.mark.parametrize(
    ("expected", "stage", "message"),
    [
        (
            ("PodOutsideLimits", True, "spec.export.resources"),
            EXPORT,
            f"{FORBIDDEN} maximum memory usage per Container is 1536Mi, but limit is 43Gi",
        ),
        (("PodOutsideLimits", True, "spec.workers.resources"), TRAIN, f"{FORBIDDEN} minimum cpu usage per Pod is 1, but request is 10m"),
        (("PodOutsideLimits", True, "spec.export.resources"), EXPORT, f"{FORBIDDEN} cpu max limit to request ratio per Container is 2"),
        (
            ("PodOutsideLimits", True, "spec.export.resources"),
            EXPORT,
            f"{FORBIDDEN} failed quota: small: must specify limits.cpu for: exporter",
        ),
        (
            ("PodOutsideLimits", True, "spec.export.resources"),
            EXPORT,
            f"{QUOTA} requested: limits.memory=43Gi,pods=1, used: limits.memory=0,pods=0, limited: limits.memory=8Gi,pods=9",
        ),
        (
            ("QuotaExceeded", False, "spec.export.resources"),
            EXPORT,
            f"{QUOTA} requested: limits.memory=4Gi,pods=1, used: limits.memory=6Gi,pods=3, limited: limits.memory=8Gi",
        ),
        (
            ("PodOutsideLimits", True, "spec.export.resources"),
            EXPORT,
            'create Pod in demo: 422 Pod "p" is invalid: resources.requests: Invalid value: "1": must be less than or equal to cpu limit of 1m',
        ),
        (("QuotaExceeded", False, "spec.export.resources"), EXPORT, f"{QUOTA} requested: pods=1, used: pods=0, limited: pods=0"),
        (("RefusedByPolicy", True, ""), EXPORT, f'{FORBIDDEN} violates PodSecurity "restricted:latest": hostPath'),
        (("RefusedByPolicy", True, ""), EXPORT, 'create Pod in demo: 400 admission webhook "w" denied the request: no'),
        (
            ("RefusedByPolicy", True, ""),
            EXPORT,
            "create Pod in demo: 422 ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
        ),
        (None, EXPORT, f"{FORBIDDEN} error looking up service account demo/robot"),
        (None, EXPORT, f"{FORBIDDEN} no PriorityClass with name gold was found"),
    ],
)
def test_a_refusal_is_final_or_not_and_names_the_field(expected, stage, message):
    found = misfit_of(stage, message)
    assert (found and (found.reason, found.final, found.field)) == expected
    if found:
        assert str(found).startswith(f"{stage.name} cannot start: {message}.")
        assert (found.field in str(found)) == ("have the limit raised" in str(found) or not found.field)
