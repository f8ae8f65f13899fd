"""Every rule between fields: (code, field it names, changes that break it, the nearest changes that keep it)."""

PVC = {"pvc": {"claimName": "corpora", "path": "chat.jsonl"}}
WHOLE_CLAIM = {"pvc": {"claimName": "corpora"}}
GPU = {"workers.resources": {"limits": {"nvidia.com/gpu": 1}}}
BNB4 = {"method.quantization": {"type": "bnb4"}}
DORA = {"method.lora": {"useDora": True}}
PISSA = {"method.lora": {"initLoraWeights": "pissa_niter_4"}}
ZERO3 = {"deepspeed": {"stage": 3}}
ZERO2 = {"deepspeed": {"stage": 2}}
RAW3 = {"zero_optimization": {"stage": 3, "stage3_gather_16bit_weights_on_model_save": True}}
NO_VALIDATION = {"data.valSetSize": 0, "training.evalStrategy": "no"}


TOPICS = {"task": "SingleLabelClassification"}
ENTITIES = {"task": "NamedEntityRecognition"}
READS = {"task": "QuestionAnswering"}
TRANSLATES = {"task": "Translation"}


def raw(**config):
    return {"deepspeed": {"config": config}}


def env(*names):
    return {"workers.env": [{"name": name, "value": "/x"} for name in names]}


def settings(part, field, value):
    """Pod settings of one stage. Mounts have the volumes beside them."""
    if field == "resources.limits":
        return {part: {"resources": {"limits": value}}}
    return {part: {field: value} | ({"volumes": CA} if field == "volumeMounts" else {})}


CA = [{"name": "authorities", "configMap": {"name": "company-ca"}}, {"name": "scratch", "emptyDir": {}}]
AT_CA = [{"name": "authorities", "mountPath": "/etc/ssl/company"}]
MINE = {"matchLabels": {"app": "x"}}
HOST = {"topologyKey": "kubernetes.io/hostname"}


def node(**requirement):
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "pool", **requirement}]}]
            }
        }
    }


def near(**term):
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [HOST | term]}}


def spread(**constraint):
    return [HOST | {"whenUnsatisfiable": "DoNotSchedule"} | constraint]


def from_(**source):
    return [{"name": "A", "valueFrom": source}]


def at(path):
    return [{"name": "authorities", "mountPath": path}]


# Settings of pods that the API server refuses when it creates them, and the closest that it accepts: code, stage, field, broken, kept.
# tests/contract/test_pod_settings.py sends the rendered pods of both to an API server.
POD_CASES = [
    (
        "E023",
        "workers",
        "resources",
        {"requests": {"cpu": "2"}, "limits": {"cpu": "1500m"}},
        {"requests": {"cpu": "1.5"}, "limits": {"cpu": "1500m"}},
    ),
    (
        "E023",
        "export",
        "resources",
        {"requests": {"memory": "1025Mi"}, "limits": {"memory": "1Gi"}},
        {"requests": {"memory": "1024Mi"}, "limits": {"memory": "1Gi"}},
    ),
    ("E024", "serving", "resources", {"limits": {"gpu": 1}}, {"limits": {"nvidia.com/gpu": 1}}),
    ("E024", "workers", "resources", {"limits": {"requests.nvidia.com/gpu": 1}}, {"limits": {"example.com/gpu": 1}}),
    ("E024", "workers", "resources", {"limits": {"example.com/fpga": "0.5"}}, {"limits": {"example.com/fpga": 2}}),
    (
        "E024",
        "workers",
        "resources",
        {"requests": {"example.com/fpga": 1}},
        {"requests": {"example.com/fpga": 1}, "limits": {"example.com/fpga": 1}},
    ),
    (
        "E024",
        "serving",
        "resources",
        {"requests": {"example.com/fpga": 1}, "limits": {"example.com/fpga": 2}},
        {"limits": {"example.com/fpga": 2}},
    ),
    ("E024", "workers", "resources", {"limits": {"hugepages-2Mi": "4Mi"}}, {"limits": {"hugepages-2Mi": "4Mi", "memory": "1Gi"}}),
    ("E024", "workers", "resources", {"limits": {"hugepages-2Mi": "3Mi", "cpu": 1}}, {"limits": {"hugepages-2Mi": "4Mi", "cpu": 1}}),
    ("E024", "workers", "resources", {"limits": {"hugepages-big": "4Mi", "cpu": 1}}, {"limits": {"hugepages-1Gi": "1Gi", "cpu": 1}}),
    ("E025", "workers", "tolerations", [{"key": "gpu", "operator": "Exists", "value": "yes"}], [{"key": "gpu", "operator": "Exists"}]),
    ("E025", "check", "tolerations", [{"effect": "NoSchedule"}], [{"operator": "Exists", "effect": "NoSchedule"}]),
    (
        "E025",
        "serving",
        "tolerations",
        [{"key": "gpu", "tolerationSeconds": 9}],
        [{"key": "gpu", "effect": "NoExecute", "tolerationSeconds": 9}],
    ),
    ("E025", "workers", "affinity", node(operator="In"), node(operator="In", values=["a"])),
    ("E025", "export", "affinity", node(operator="Exists", values=["a"]), node(operator="Exists")),
    ("E025", "workers", "affinity", node(operator="Gt", values=["a", "b"]), node(operator="Gt", values=["1"])),
    (
        "E025",
        "serving",
        "affinity",
        near(labelSelector={"matchExpressions": [{"key": "app", "operator": "NotIn"}]}),
        near(labelSelector=MINE),
    ),
    (
        "E025",
        "workers",
        "affinity",
        near(matchLabelKeys=["app"]),
        near(matchLabelKeys=["app"], labelSelector={"matchLabels": {"tier": "x"}}),
    ),
    (
        "E025",
        "workers",
        "affinity",
        near(labelSelector=MINE, matchLabelKeys=["a"], mismatchLabelKeys=["a"]),
        near(labelSelector=MINE, matchLabelKeys=["a"], mismatchLabelKeys=["b"]),
    ),
    ("E025", "serving", "topologySpreadConstraints", spread(whenUnsatisfiable="ScheduleAnyway", minDomains=2), spread(minDomains=2)),
    ("E025", "serving", "topologySpreadConstraints", spread() * 2, spread() + spread(whenUnsatisfiable="ScheduleAnyway")),
    (
        "E026",
        "workers",
        "volumeMounts",
        [*AT_CA, {"name": "scratch", "mountPath": "/etc/ssl/company"}],
        [*AT_CA, {"name": "scratch", "mountPath": "/etc/ssl/more"}],
    ),
    ("E027", "workers", "env", from_(), from_(secretKeyRef={"name": "s", "key": "k"})),
    (
        "E027",
        "export",
        "env",
        from_(resourceFieldRef={"resource": "limits.cpu", "divisor": "1Mi"}),
        from_(resourceFieldRef={"resource": "limits.cpu", "divisor": "1m"}),
    ),
    (
        "E027",
        "check",
        "env",
        from_(resourceFieldRef={"resource": "limits.memory", "divisor": "1m"}),
        from_(resourceFieldRef={"resource": "limits.memory"}),
    ),
]
# Refused whatever the API server does: they cannot be rendered, would cover files of Tunewright, or have no use.
OWN_CASES = [
    (
        "E025",
        "workers",
        "topologySpreadConstraints",
        spread(labelSelector=MINE, matchLabelKeys=["app"]),
        spread(labelSelector=MINE, matchLabelKeys=["tier"]),
    ),
    (
        "E027",
        "serving",
        "env",
        [{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        from_(fieldRef={"fieldPath": "status.podIP"}),
    ),
    ("E026", "workers", "volumes", [{"name": "a"}], [{"name": "a", "emptyDir": {}}]),
    (
        "E026",
        "serving",
        "volumes",
        [{"name": "a", "emptyDir": {}, "secret": {"secretName": "s"}}],
        [{"name": "a", "secret": {"secretName": "s"}}],
    ),
    ("E026", "workers", "volumes", [{"name": "config", "emptyDir": {}}], [{"name": "configs", "emptyDir": {}}]),
    ("E026", "workers", "volumeMounts", [{"name": "other", "mountPath": "/x"}], AT_CA),
    ("E026", "workers", "volumes", [{"name": "corpora-1a2b3c4d", "emptyDir": {}}], [{"name": "corpora", "emptyDir": {}}]),
    (
        "E026",
        "serving",
        "volumeMounts",
        [{"name": "authorities", "mountPath": "/x", "readOnly": False}],
        [{"name": "scratch", "mountPath": "/x", "readOnly": False}],
    ),
    *(
        ("E026", "workers", "volumeMounts", at(path), AT_CA)
        for path in ("/workspace", "/workspace/models/x", "/etc", "/var/run", "/tmp/x", "/dev/shm")
    ),
    ("E028", "export", "resources.limits", {"nvidia.com/gpu": 1}, {"cpu": 1}),
    ("E028", "check", "resources.limits", {"amd.com/gpu": 1}, {"cpu": 1}),
]


# code, field that is named, what breaks the rule, the closest that keeps it
CASES = [
    ("E001", "spec.model.source", {"model.source": {}}, {}),
    ("E001", "spec.model.source", {"model.source.path": "/models/phi"}, {"model.source": {"path": "/models/phi"}}),
    ("E002", "spec.data.train[0].source", {"data.train[0].source": {}}, {}),
    ("E002", "spec.data.test[0].source", {"data.test": [{"source": {**PVC, "path": "/x"}}]}, {"data.test": [{"source": PVC}]}),
    ("E004", "spec.data.train[0].fraction", {"data.train[0].fraction": 0.5, "data.train[0].numSamples": 5}, {"data.train[0].fraction": 0.5}),
    (
        "E005",
        "spec.data.interleaveProbs",
        {"data.interleaveProbs": [1.0]},
        {"data.interleaveProbs": [1.0], "data.mixStrategy": "interleave_under"},
    ),
    ("E005", "spec.data.interleaveProbs", {"data.interleaveProbs": [0.5, 0.5], "data.mixStrategy": "interleave_over"}, {}),
    ("E005", "spec.data.interleaveProbs", {"data.interleaveProbs": [0.5], "data.mixStrategy": "interleave_over"}, {}),
    ("E006", "spec.method", {"method": {"tuner": "full", "lora": {}}}, {"method": {"tuner": "full"}}),
    ("E006", "spec.method", {"method": {"dpo": {}}}, {"method": {"type": "dpo", "dpo": {}}}),
    ("E007", "spec.output.storage", {"output.storage": {"claimName": "c", "size": "5Gi"}}, {"output.storage": {"claimName": "c"}}),
    ("E007", "spec.output.storage", {"output.storage": {"claimName": "c", "accessModes": ["ReadWriteMany"]}}, {"output.storage": {"size": 5}}),
    ("E008", "spec.workers.acceleratorsPerReplica", {"workers.acceleratorsPerReplica": 1}, {"workers.acceleratorsPerReplica": 1, **GPU}),
    ("E009", "spec.workers.resources.limits", {"workers.resources": {"limits": {"nvidia.com/gpu": "1500m"}}}, GPU),
    ("E010", "spec.method.oft", {"method": {"tuner": "oft", "oft": {"r": 4}}}, {"method": {"tuner": "oft", "oft": {"r": 4, "oftBlockSize": 0}}}),
    ("E010", "spec.method.oft", {"method": {"tuner": "oft", "oft": {"oftBlockSize": 0}}}, {"method": {"tuner": "oft", "oft": {}}}),
    ("E017", "spec.workers.resources", {"workers.resources": {"limits": {"nvidia.com/gpu": "65"}}}, GPU),
    ("E017", "spec.workers.resources", {"workers.resources": {"limits": {"nvidia.com/gpu": 40, "amd.com/gpu": 40}}}, GPU),
    ("E017", "spec.workers.resources", {"workers.resources": {"limits": {"cpu": "4097"}}}, {"workers.resources": {"limits": {"cpu": "4096"}}}),
    ("E017", "spec.workers.resources", {"workers.resources": {"requests": {"memory": "65Ti"}}}, {"workers.resources": {"limits": {"memory": "64Ti"}}}),
    ("E017", "spec.serving.resources", {"serving": {"resources": {"limits": {"memory": "1Pi"}}}}, {"serving": {"resources": {"limits": {"memory": "1Ti"}}}}),
    ("E017", "spec.serving.resources", {"serving": {"resources": {"limits": {"x/y": "1Pi"}}}}, {"serving": {"resources": {"limits": {"x/y": 8}}}}),
    (
        "E018",
        "spec.serving.executionProviders",
        {"serving": {"executionProviders": ["CUDA", "CPU"]}},
        {"serving": {"executionProviders": ["CUDA", "CPU"], "image": "registry/server:cuda"}},
    ),
    ("E019", "spec.model.chatTemplate", TOPICS | {"model.chatTemplate": {"jinja": "x"}}, {"model.chatTemplate": {"jinja": "x"}}),
    ("E019", "spec.data.completionOnlyLoss", TOPICS | {"data.completionOnlyLoss": False}, {"data.completionOnlyLoss": False}),
    ("E019", "spec.data.assistantOnlyLoss", TOPICS | {"data.assistantOnlyLoss": True}, {"data.assistantOnlyLoss": True}),
    ("E019", "spec.evaluation.generateSamples", TOPICS | {"evaluation.generateSamples": 1}, TOPICS | {"evaluation.generateSamples": 0}),
    ("E019", "spec.evaluation.maxNewTokens", TOPICS | {"evaluation.maxNewTokens": 65}, TOPICS | {"evaluation.maxNewTokens": 64}),
    (
        "E019",
        "spec.serving.smokeTest.maxTokens",
        TOPICS | {"serving": {"smokeTest": {"prompt": "An oat latte, please", "contains": "order", "maxTokens": 8}}},
        TOPICS | {"serving": {"smokeTest": {"prompt": "An oat latte, please", "contains": "order"}}},
    ),
    ("E019", "spec.model.chatTemplate", TRANSLATES | {"model.chatTemplate": {"jinja": "x"}}, TRANSLATES),
    ("E019", "spec.data.completionOnlyLoss", TRANSLATES | {"data.completionOnlyLoss": False}, TRANSLATES),
    ("E019", "spec.data.assistantOnlyLoss", TRANSLATES | {"data.assistantOnlyLoss": True}, TRANSLATES),
    ("E019", "spec.data.completionOnlyLoss", ENTITIES | {"data.completionOnlyLoss": True}, ENTITIES),
    ("E019", "spec.data.docStride", {"data.docStride": 0}, READS | {"data.docStride": 0}),
    ("E019", "spec.data.overlongPolicy", READS | {"data.overlongPolicy": "drop"}, READS | {"data.overlongPolicy": "truncate"}),
    (
        "E019",
        "spec.training.labelSmoothingFactor",
        {"task": "MultiLabelClassification", "training.labelSmoothingFactor": 0.1},
        {"task": "SingleLabelClassification", "training.labelSmoothingFactor": 0.1},
    ),
    ("E019", "spec.training.labelSmoothingFactor", READS | {"training.labelSmoothingFactor": 0.1}, {"training.labelSmoothingFactor": 0.1}),
    (
        "E021",
        "spec.serving.smokeTest.prompt",
        READS | {"serving": {"smokeTest": {"prompt": "Where is the oak?"}}},
        READS | {"serving": {"smokeTest": {"prompt": "Where is the oak?\nThe oak is\nin the box."}}},
    ),
    ("E313", "spec.data.docStride", READS | {"data.maxLength": 64, "data.docStride": 64}, READS | {"data.maxLength": 64, "data.docStride": 63}),
    ("E014", "spec.evaluation.gates", {"evaluation.gates": [{"metric": "loss"}]}, {"evaluation.gates": [{"metric": "loss", "maximum": 2}]}),
    ("E020", "spec.data.train[0].source.pvc.path", {"data.train[0].source": WHOLE_CLAIM}, {"data.train[0].source": PVC}),
    ("E020", "spec.data.test[0].source.pvc.path", {"data.test": [{"source": {"pvc": {"claimName": "c", "path": "a/"}}}]}, {"data.test": [{"source": PVC}]}),
    ("E020", "spec.data.train[0].source.path", {"data.train[0].source": {"path": "data/"}}, {"data.train[0].source": {"path": "data"}}),
    ("E015", "spec.model.trustRemoteCode", {"model.trustRemoteCode": True}, {"model.trustRemoteCode": False}),
    ("E016", "spec.workers.env", env("PYTHONPATH"), env("OMP_NUM_THREADS")),
    ("E016", "spec.workers.env", env("FIRST", "LD_PRELOAD"), env("FIRST", "LD")),
    ("E016", "spec.check.env", {"check": {"env": [{"name": "LD_PRELOAD"}]}}, {"check": {}}),
    ("E016", "spec.serving.env", {"serving": {"env": [{"name": "TUNEWRIGHT_PORT"}]}}, {"serving": {"env": [{"name": "HTTPS_PROXY"}]}}),
    ("E022", "spec.workers.podLabels", {"workers.podLabels": {"tunewright.io/attempt": "9"}}, {"workers.podLabels": {"example.com/cost-center": "9"}}),
    ("E022", "spec.export.podLabels", {"export": {"podLabels": {"app.kubernetes.io/name": "x"}}}, {"export": {"podLabels": {"app": "x"}}}),
    ("E022", "spec.check.podLabels", {"check": {"podLabels": {"job-name": "x"}}}, {"check": {"podLabels": {"job-names": "x"}}}),
    ("E022", "spec.workers.podLabels", {"workers.podLabels": {"kueue.x-k8s.io/queue-name": "q"}}, {"workers.podLabels": {"kai.scheduler/queue": "q"}}),
    (
        "E022",
        "spec.serving.podAnnotations",
        {"serving": {"podAnnotations": {"container.apparmor.security.beta.kubernetes.io/server": "unconfined"}}},
        {"serving": {"podAnnotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "linkerd.io/inject": "disabled"}}},
    ),
    (
        "E022",
        "spec.workers.podAnnotations",
        {"workers.podAnnotations": {"batch.kubernetes.io/job-completion-index": "1"}},
        {"workers.podAnnotations": {"kubernetes.io/egress-bandwidth": "1M", "sidecar.istio.io/inject": "false"}},
    ),
    *((code, f"spec.{part}.{field}", settings(part, field, broken), settings(part, field, kept)) for code, part, field, broken, kept in POD_CASES + OWN_CASES),
    ("E026", "spec.check.volumeMounts", {"workers": {"volumes": CA}, "check": {"volumes": [], "volumeMounts": AT_CA}}, {"workers": {"volumes": CA}, "check": {"volumeMounts": AT_CA}}),
    ("E026", "spec.export.volumeMounts", {"workers": {"volumes": CA, "volumeMounts": AT_CA}, "export": {"volumes": []}}, {"workers": {"volumes": CA, "volumeMounts": AT_CA}, "export": {}}),
    ("E101", "spec.method.lora.useDora", DORA | BNB4 | ZERO3, DORA | BNB4 | ZERO2),
    ("E101", "spec.method.lora.useDora", DORA | BNB4 | raw(**RAW3), DORA | BNB4 | {"deepspeed": {"stage": "Auto"}}),
    ("E102", "spec.method.quantization.type", BNB4 | {"method.tuner": "full"}, BNB4),
    ("E104", "spec.method.lora.initLoraWeights", PISSA | BNB4, PISSA | ZERO2),
    ("E104", "spec.method.lora.initLoraWeights", PISSA | ZERO3, {"method.lora": {"initLoraWeights": "olora"}} | ZERO3),
    ("E106", "spec.method.lora.useDora", {"method.lora": {"useDora": True, "loraBias": True}}, {"method.lora": {"loraBias": True}}),
    ("E106", "spec.method.lora.useDora", {"method.lora": {"useDora": True, "targetParameters": ["experts"]}}, DORA),
    (
        "E108",
        "spec.method.lora.layersToTransform",
        {"method.lora": {"layersToTransform": [0]}},
        {"method.lora": {"layersToTransform": [0], "targetModules": ["o_proj"]}},
    ),
    (
        "E108",
        "spec.method.lora.layersToTransform",
        {"method.lora": {"targetModules": ["o_proj"], "layersPattern": ["layers"]}},
        {"method.lora": {"targetModules": ["o_proj"], "layersPattern": ["layers"], "layersToTransform": [0]}},
    ),
    ("E109", "spec.method.lora.targetModules", {"method.lora": {"targetModules": ["o_proj", "lm_head"]}}, {"method.lora": {"targetModules": ["o_proj"]}}),
    ("E109", "spec.method.lora.targetModules", {"method.lora": {"targetModules": "lm_head"}}, {"method.lora": {"modulesToSave": ["lm_head"]}}),
    (
        "E109",
        "spec.method.ia3.targetModules",
        {"method": {"tuner": "ia3", "ia3": {"targetModules": ["lm_head"]}}},
        {"method": {"tuner": "ia3", "ia3": {"targetModules": ["k_proj"]}}},
    ),
    (
        "E110",
        "spec.training.gradientCheckpointing",
        {"method": {"tuner": "prefixTuning", "prefixTuning": {"numVirtualTokens": 8}}},
        {"method": {"tuner": "prefixTuning", "prefixTuning": {"numVirtualTokens": 8}}, "training.gradientCheckpointing": False},
    ),
    ("E111", "spec.method.lora.loftqConfig", {"method.lora": {"initLoraWeights": "loftq"}}, {"method.lora": {"initLoraWeights": "loftq", "loftqConfig": {}}}),
    ("E111", "spec.method.lora.loftqConfig", {"method.lora": {"loftqConfig": {}}}, {}),
    (
        "E113",
        "spec.method.ia3.feedforwardModules",
        {"method": {"tuner": "ia3", "ia3": {"targetModules": ["k_proj"], "feedforwardModules": ["k_proj", "down_proj"]}}},
        {"method": {"tuner": "ia3", "ia3": {"targetModules": ["k_proj"], "feedforwardModules": ".*down_proj"}}},
    ),
    ("E112", "spec.method.quantization.quantType", {"method.quantization": {"quantType": "fp4"}}, {"method.quantization": {"type": "bnb4", "quantType": "fp4"}}),
    ("E201", "spec.deepspeed.config", raw(nebula={"enabled": False}), raw(zero_optimization={"stage": 2})),
    ("E201", "spec.deepspeed.config", raw(zero_optimization={"mics_shard_size": 8}), raw(zero_optimization="unusual")),
    ("E202", "spec.deepspeed.config", {"deepspeed": {"config": {}, "stage": 2}}, {"deepspeed": {"config": {}, "stage": "Auto"}}),
    ("E202", "spec.deepspeed.config", raw(train_micro_batch_size_per_gpu=4), raw(train_micro_batch_size_per_gpu=1)),
    ("E202", "spec.deepspeed.config", raw(train_batch_size=4), raw(train_batch_size="auto")),
    ("E202", "spec.deepspeed.config", raw(optimizer={"type": "AdamW", "params": {"lr": 1e-3}}), raw(optimizer={"params": {"lr": 2e-4}})),
    ("E203", "spec.deepspeed", {"deepspeed": {"stage": 2, "offloadParam": {"device": "cpu"}}}, {"deepspeed": {"stage": 3, "offloadParam": {"device": "cpu"}}}),
    ("E203", "spec.deepspeed", {"deepspeed": {"stage": 1, "offloadOptimizer": {"ratio": 0.5}}}, {"deepspeed": {"offloadOptimizer": {"ratio": 0.5}}}),
    ("E203", "spec.deepspeed", {"deepspeed": {"stage": 0, "offloadOptimizer": {"device": "cpu"}}}, {"deepspeed": {"stage": 1, "offloadOptimizer": {"device": "cpu"}}}),
    (
        "E203",
        "spec.deepspeed",
        {"deepspeed": {"stage": 3, "offloadOptimizer": {"device": "nvme"}}},
        {"deepspeed": {"stage": 3, "offloadOptimizer": {"device": "nvme", "nvmePath": "/nvme"}}},
    ),
    ("E203", "spec.deepspeed", {"deepspeed": {"offloadParam": {"nvmePath": "/nvme"}}}, {"deepspeed": {"offloadParam": {}}}),
    (
        "E204",
        "spec.deepspeed.stage3Gather16bitWeightsOnModelSave",
        {"deepspeed": {"stage": 3, "stage3Gather16bitWeightsOnModelSave": False}},
        {"deepspeed": {"stage": 2, "stage3Gather16bitWeightsOnModelSave": False}},
    ),
    ("E204", "spec.deepspeed.stage3Gather16bitWeightsOnModelSave", raw(zero_optimization={"stage": 3}), raw(**RAW3)),
    ("E207", "spec.training.optim", ZERO2 | {"training.optim": "galore_adamw"}, {"training.optim": "galore_adamw"}),
    ("E207", "spec.deepspeed.config", raw(bf16={"enabled": True}, fp16={"enabled": True}), raw(bf16={"enabled": True})),
    ("E208", "spec.deepspeed.config", raw(optimizer={"type": "AdamW"}), raw(optimizer={"type": "AdamW", "params": {"torch_adam": True}})),
    ("E208", "spec.deepspeed.config", raw(optimizer={"type": "Muon"}), raw(optimizer={"type": "SGD"})),
    (
        "E208",
        "spec.deepspeed.config",
        raw(optimizer={"type": "Adagrad"}, zero_optimization={"stage": 2, "offload_optimizer": {"device": "cpu"}}),
        raw(optimizer={"type": "Adagrad"}, zero_optimization={"stage": 2, "offload_optimizer": "unusual"}),
    ),
    (
        "E208",
        "spec.deepspeed.config",
        raw(zero_optimization={"stage": 3, "offload_param": {"device": "nvme"}}),
        raw(zero_optimization={"stage": 3, "offload_param": {"device": "cpu"}}),
    ),
    ("E209", "spec.training.globalBatchSize", {"training.globalBatchSize": 3, "workers.replicas": 2}, {"training.globalBatchSize": 4, "workers.replicas": 2}),
    (
        "E209",
        "spec.training.globalBatchSize",
        {"training.globalBatchSize": 8, "training.gradientAccumulationSteps": 4},
        {"training.globalBatchSize": 8, "training.gradientAccumulationSteps": 8},
    ),
    (
        "E210",
        "spec.deepspeed.config",
        raw(bf16={"enabled": "auto", "bf16_master_weights_and_grads": True}),
        raw(bf16={"enabled": "auto", "bf16_master_weights_and_grads": False}),
    ),
    ("E210", "spec.deepspeed.config", raw(fp16={"enabled": "auto", "fp16_master_weights_and_grads": True}), raw(fp16={"enabled": "auto"})),
    ("E211", "spec.deepspeed.config", raw(tensorboard={"enabled": False}), raw(steps_per_print=5)),
    ("E211", "spec.deepspeed.config", raw(zero_optimization={"stage": 1, "surprise": 1}), raw(zero_optimization={"stage": 1})),
    ("E301", "spec.data.packing", {"method.type": "kto", "data.packing": True}, {"data.packing": True}),
    ("E302", "spec.data.paddingFree", {"data.paddingFree": True}, {"data.paddingFree": True, "data.packing": True}),
    (
        "E303",
        "spec.data.completionOnlyLoss",
        {"data.completionOnlyLoss": True, "data.train[0].format": "text"},
        {"data.completionOnlyLoss": True, "data.train[0].format": "promptCompletion"},
    ),
    (
        "E303",
        "spec.data.assistantOnlyLoss",
        {"data.assistantOnlyLoss": True, "data.validation": [{"source": PVC, "format": "text"}]},
        {"data.assistantOnlyLoss": True, "data.validation": [{"source": PVC, "format": "messages"}]},
    ),
    ("E304", "spec.data.streaming", {"data.streaming": True} | NO_VALIDATION, {"data.streaming": True, "training.maxSteps": 5} | NO_VALIDATION),
    (
        "E304",
        "spec.data.valSetSize",
        {"data.streaming": True, "training.maxSteps": 5},
        {"data.streaming": True, "training.maxSteps": 5, "data.validation": [{"source": PVC}]},
    ),
    ("E305", "spec.training.evalStrategy", {"training.evalStrategy": "no", "training.earlyStopping": {}}, {"training.earlyStopping": {}}),
    ("E305", "spec.training.evalStrategy", {"training.evalStrategy": "no", "training.lrSchedulerType": "greedy"}, {"training.lrSchedulerType": "greedy"}),
    ("E305", "spec.training.evalStrategy", {"data.valSetSize": 0}, NO_VALIDATION),
    ("E305", "spec.training.evalStrategy", NO_VALIDATION | {"training.evalOnStart": True}, {"training.evalOnStart": True}),
    (
        "E306",
        "spec.training.loadBestModelAtEnd",
        {"training.loadBestModelAtEnd": True},
        {"training.loadBestModelAtEnd": True, "training.saveStrategy": "epoch"},
    ),
    (
        "E306",
        "spec.training.loadBestModelAtEnd",
        {"training": {"loadBestModelAtEnd": True, "evalStrategy": "steps", "saveSteps": 25}},
        {"training": {"loadBestModelAtEnd": True, "evalStrategy": "steps", "saveSteps": 20}},
    ),
    (
        "E306",
        "spec.training.loadBestModelAtEnd",
        {"training.saveStrategy": "best"},
        {"training.saveStrategy": "best", "training.metricForBestModel": "loss"},
    ),
    (
        "E307",
        "spec.method.grpo.numGenerations",
        {"method": {"type": "grpo", "grpo": {"numGenerations": 1}}},
        {"method": {"type": "grpo", "grpo": {"numGenerations": 2}}, "training.globalBatchSize": 4},
    ),
    (
        "E307",
        "spec.method.grpo.numGenerations",
        {"method": {"type": "grpo", "grpo": {}}, "training.globalBatchSize": 12},
        {"method": {"type": "grpo", "grpo": {}}, "training.globalBatchSize": 16},
    ),
    (
        "E308",
        "spec.method.dpo",
        {"method": {"type": "dpo", "dpo": {"lossWeights": [1, 2]}}},
        {"method": {"type": "dpo", "dpo": {"lossType": ["sigmoid", "hinge"], "lossWeights": [1, 2]}}},
    ),
    (
        "E308",
        "spec.method.dpo",
        {"method": {"type": "dpo", "dpo": {"lossType": ["bco_pair"], "fDivergenceType": "js_divergence"}}},
        {"method": {"type": "dpo", "dpo": {"lossType": ["bco_pair"]}}},
    ),
    ("E309", "spec.training.saveOnlyModel", {"training.saveOnlyModel": True}, {"training.saveOnlyModel": True, "backoffLimit": 0}),
    (
        "E310",
        "spec.training.lrSchedulerKwargs",
        {"training.lrSchedulerType": "cosine_with_min_lr"},
        {"training.lrSchedulerType": "cosine_with_min_lr", "training.lrSchedulerKwargs": {"min_lr": 1e-6}},
    ),
    (
        "E310",
        "spec.training.lrSchedulerKwargs",
        {"training.lrSchedulerType": "warmup_stable_decay"},
        {"training.lrSchedulerType": "warmup_stable_decay", "training.lrSchedulerKwargs": {"num_decay_steps": 10}},
    ),
    ("E311", "spec.training.metricForBestModel", {"training.metricForBestModel": "bleu"}, {"training.metricForBestModel": "eval_mean_token_accuracy"}),
    (
        "E312",
        "spec.training.dataloaderPrefetchFactor",
        {"training.dataloaderPrefetchFactor": 2},
        {"training.dataloaderPrefetchFactor": 2, "training.dataloaderNumWorkers": 1},
    ),
    ("E401", "spec.workers.resources.limits", {"training.precision": "fp16"}, GPU | {"training.precision": "fp16"}),
    ("E401", "spec.workers.resources.limits", {"training.optim": "paged_adamw_8bit"}, {"training.optim": "adamw_torch_fused"}),
    ("E401", "spec.workers.resources.limits", {"training.useLigerKernel": True}, GPU | {"training.useLigerKernel": True}),
    (
        "E401",
        "spec.model.attnImplementation",
        GPU | {"model.attnImplementation": "flash_attention_2", "model.dtype": "float32"},
        GPU | {"model.attnImplementation": "flash_attention_2"},
    ),
]  # fmt: skip
IDS = [f"{index:02d}-{code}-{path.removeprefix('spec.')}" for index, (code, path, _, _) in enumerate(CASES)]
