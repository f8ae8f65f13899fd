"""Labels and annotations of children: render/ writes them; observe/, kube/ and local/ read them.

Selectors use `JOB_NAME` and `COMPONENT` only, because these never change during a child's life.
"""

from collections.abc import Iterable

JOB_NAME = "tunewright.io/job-name"
JOB_UID = "tunewright.io/job-uid"  # a job that was deleted and created again has the same name and another uid
COMPONENT = "tunewright.io/component"  # a stage's `component`, or SHARED
SHARED = "shared"  # the component of children that all stages use
REVISION = "tunewright.io/revision"  # of the model: a hash of its inputs
ATTEMPT = "tunewright.io/attempt"
GLOBAL_BATCH_SIZE = "tunewright.io/global-batch-size"  # annotation of train Jobs: examples per optimizer step, whatever the number of ranks
ZERO_STAGE = "tunewright.io/zero-stage"  # annotation of train Jobs: the ZeRO stage of their checkpoints
FAILURES = "tunewright.io/counted-failures"  # annotation of train Jobs: the failures before it that count against backoffLimit
POD_SETTINGS = "tunewright.io/pod-settings"  # annotation of Jobs: a digest of the user's settings of its pods
RETRY = "tunewright.io/retry"  # annotation of a FineTuneJob and of its Jobs: another text runs a failed stage again
RETAIN = "tunewright.io/retain"  # annotation: why this object stays when its job is deleted
ENDED = "tunewright.io/ended"  # annotation of a Job that the operator ended: the StageRecord of its pods
DISRUPTED = "tunewright.io/disrupted"  # annotation of a Job: which of its pods was deleted from outside, before any had failed
URL = "tunewright.io/url"  # annotation on a Service: its address, if it is not the cluster's DNS name

# Annotations of the rollout; see plan/rollout.py.
SERVING_REVISION = "tunewright.io/serving-revision"  # on server pods: the model's revision and a digest of the pod template
MODEL = "tunewright.io/model"  # on the Deployment: the PublishedModel that its pods serve, if it is another job's
PREVIOUS = "tunewright.io/previous"  # on the Deployment: the ServingRevision to go back to
REFUSED = "tunewright.io/refused"  # on the Deployment: the Refusal of the rolled-back revision; remove it to retry that revision

# Set by Kubernetes itself.
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"

# Kueue's labels and annotations; a Job with one of these labels waits in a queue of Kueue.
KUEUE = "kueue.x-k8s.io/"
PARTIAL_ADMISSION = f"{KUEUE}job-min-parallelism"


def is_queued(labels: Iterable[str]) -> bool:
    """Return whether Kueue decides when a Job with these labels starts."""
    return any(name.startswith(KUEUE) for name in labels)
