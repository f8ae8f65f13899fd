"""Valid jobs which together write out every field that there is."""

TOKEN = {"tokenSecretRef": {"name": "hugging-face", "key": "token"}}
URL = {"url": {"url": "https://example.org/a", "sha256": "a" * 64}}
S3 = {"s3": {"uri": "s3://bucket/a", "endpoint": "https://s3.example.org", "secretRef": "s3-keys"}}
PVC = {"pvc": {"claimName": "corpora", "path": "a/b"}}
TOLERATIONS = [{"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoExecute", "tolerationSeconds": 60}]
RESOURCES = {"limits": {"cpu": "2", "nvidia.com/gpu": "1"}, "requests": {"cpu": "500m"}}
DATASETS = [
    {
        "source": PVC,
        "format": "messages",
        "columns": {"messages": "turns"},
        "split": "a",
        "fraction": 0.5,
        "weight": 2.0,
    },
    {"source": {"huggingFace": {"repo": "a/b", "revision": "c", "config": "d", **TOKEN}}, "numSamples": 5},
    {"source": {"path": "/data"}},
    {"source": URL},
    {"source": S3},
    {"source": {"configMap": {"name": "few", "key": "train.jsonl"}}},
]
TUNERS = {
    "adalora": {"initR": 12, "targetR": 8, "tinit": 1, "tfinal": 2, "deltaT": 3, "totalStep": 100},
    "ia3": {
        "targetModules": ["k_proj", "down_proj"],
        "excludeModules": ["0.k_proj"],
        "feedforwardModules": ["down_proj"],
        "modulesToSave": ["norm"],
        "initIa3Weights": True,
    },
    "prefixTuning": {"numVirtualTokens": 8, "prefixProjection": True},
    "promptTuning": {"numVirtualTokens": 8, "promptTuningInit": "TEXT", "promptTuningInitText": "Be kind."},
    "pTuning": {"numVirtualTokens": 8, "encoderReparameterizationType": "LSTM"},
    "vera": {"r": 8, "dInitial": 0.2},
    "oft": {"oftBlockSize": 16},
}
LABELS = {"matchLabels": {"app": "x"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a"]}]}
BESIDE = {
    "labelSelector": LABELS, "namespaceSelector": LABELS, "namespaces": ["team"], "topologyKey": "kubernetes.io/hostname",
    "matchLabelKeys": ["a"], "mismatchLabelKeys": ["b"],
}  # fmt: skip
NODES = {
    "matchExpressions": [{"key": "pool", "operator": "In", "values": ["a"]}],
    "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}],
}
PODS = {
    "requiredDuringSchedulingIgnoredDuringExecution": [BESIDE],
    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 5, "podAffinityTerm": BESIDE}],
}  # fmt: skip
AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [NODES]},
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": NODES}],
    },
    "podAffinity": PODS,
    "podAntiAffinity": PODS,
}  # fmt: skip
FILES = {"items": [{"key": "a", "path": "a", "mode": 292}], "defaultMode": 292, "optional": True}
POD_SETTINGS = {
    "resources": RESOURCES, "podLabels": {"team": "a"}, "podAnnotations": {"note": "b"}, "nodeSelector": {"pool": "a"}, "tolerations": TOLERATIONS,
    "affinity": AFFINITY, "priorityClassName": "high", "runtimeClassName": "nvidia", "schedulerName": "kai", "serviceAccountName": "trainer",
    "imagePullSecrets": ["registry", {"name": "other"}],
    "topologySpreadConstraints": [
        {
            "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": LABELS, "matchLabelKeys": ["a"],
            "minDomains": 2, "nodeAffinityPolicy": "Honor", "nodeTaintsPolicy": "Ignore",
        },
    ],
    "env": [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
        {"name": "C", "value": "", "valueFrom": {"configMapKeyRef": {"name": "s", "key": "k", "optional": True}}},
        {"name": "D", "value": "", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "E", "value": "", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
    ],
    "volumes": [
        {"name": "a", "secret": {"secretName": "s", **FILES}},
        {"name": "b", "configMap": {"name": "c", **FILES}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "d"}},
        {"name": "d", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
    ],
    "volumeMounts": [{"name": "a", "mountPath": "/mnt/a", "subPath": "a", "readOnly": True}],
}  # fmt: skip
IN_PROCESSORS = POD_SETTINGS | {"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}}
MAXIMAL = {
    "every setting of pods": {"check": IN_PROCESSORS, "export": IN_PROCESSORS, "workers": POD_SETTINGS, "serving": POD_SETTINGS},
    "every field of the job, the workers and the server": {
        "suspend": True, "backoffLimit": 2, "activeDeadlineSeconds": 60, "progressDeadlineSeconds": 60, "ttlSecondsAfterFinished": 60,
        "workers": {
            "replicas": 2, "acceleratorsPerReplica": 1, "acceleratorMemory": "80Gi", "resources": RESOURCES, "nodeSelector": {"pool": "a"},
            "tolerations": TOLERATIONS, "affinity": AFFINITY, "priorityClassName": "high", "runtimeClassName": "nvidia",
            "schedulerName": "kai", "serviceAccountName": "trainer", "imagePullSecrets": ["registry"], "image": "trainer:1",
            "env": [{"name": "A", "value": "1"}],
        },
        "serving": {
            "replicas": 2, "autoscaling": {}, "servedModelName": "bot", "executionProviders": ["CUDA", "CPU"], "maxConcurrentRequests": 4, "maxModelLen": 512,
            "resources": RESOURCES, "drainSeconds": 5, "progressDeadlineSeconds": 60, "image": "server:1", "nodeSelector": {"pool": "a"},
            "tolerations": TOLERATIONS, "smokeTest": {"prompt": "Where?", "contains": "here", "maxTokens": 8}, "modelRef": {"name": "next"},
            "apiKeySecretRef": {"name": "clients", "key": "key"},
        },
    },
    "every field of the data": {"data": {"train": DATASETS, "validation": DATASETS, "test": DATASETS, "mixStrategy": "interleave_under", "interleaveProbs": [0.5, 0.1, 0.1, 0.1, 0.1, 0.1]}},
    "every field of the model": {
        "model": {
            "source": {"huggingFace": {"repo": "a/b", "revision": "c", **TOKEN}}, "chatTemplate": {"jinja": "{{ messages }}"},
        },
    },
    "every field of the training": {
        "training": {
            "dataSeed": 1, "evalAccumulationSteps": 1, "evalStrategy": "steps", "evalSteps": 10.0, "greaterIsBetter": False, "learningRate": 0.001,
            "neftuneNoiseAlpha": 5.0, "reportTo": ["tensorboard"], "metricForBestModel": "loss",
            "pushToHub": {"modelId": "a/b", "strategy": "end", "private": True, "revision": "main", **TOKEN},
        },
    },
    "every field of DeepSpeed": {
        "deepspeed": {
            "stage": 3, "offloadParam": {"device": "nvme", "nvmePath": "/nvme", "pinMemory": True}, "overlapComm": True, "reduceBucketSize": 1000,
            "stage3PrefetchBucketSize": 1000, "stage3ParamPersistenceThreshold": 1000,
        },
    },
    "every field of LoRA": {
        "method": {
            "lora": {
                "excludeModules": ["lm_head"], "trainableTokenIndices": [1, 2], "rankPattern": {"q_proj": 4}, "alphaPattern": {"q_proj": 8}, "loraplusLrRatio": 16.0, "targetParameters": ["experts"],
            },
            "quantization": {"type": "bnb4", "quantStorage": "bfloat16"},
        },
    },
    "every field of output and evaluation": {
        "output": {
            "onnx": {"precision": "fp32", "parity": {"maxLogitDifference": 0.1}}, "destinations": [{"pvc": {"claimName": "models", "path": "a"}}],
            "storage": {"size": "5Gi", "storageClassName": "fast", "accessModes": ["ReadWriteMany"], "retain": False},
        },
        "evaluation": {"gates": [{"metric": "loss", "minimum": 0.0, "maximum": 2.0}]},
    },
    "kto": {"method": {"type": "kto", "kto": {"beta": 0.1, "desirableWeight": 1.0, "undesirableWeight": 2.0}}},
    "grpo": {"method": {"type": "grpo", "grpo": {"numGenerations": 2, "rewardFunctions": ["length"]}}, "training.globalBatchSize": 4},
    "distillation": {"method": {"type": "distillation", "distillation": {"teacherRef": "teacher", "temperature": 2.0, "lmbda": 0.5}}},
    **{f"model from {name}": {"model.source": source} for name, source in [
        ("a claim", PVC), ("an address", URL), ("a bucket", S3), ("an image", {"oci": {"image": "registry/model:1", "pullSecret": "registry"}}), ("a job", {"modelRef": {"name": "other"}}),
    ]},
    **{f"tuner {tuner}": {"method": {"tuner": tuner, tuner: part}, "training.gradientCheckpointing": False} for tuner, part in TUNERS.items()},
}  # fmt: skip
