"""Value sets for the chart, from a person's who sets nothing to one's who sets everything."""

from typing import Any

DIGEST = "sha256:" + "0123456789abcdef" * 4
OTHER_DIGEST = "sha256:" + "fedcba9876543210" * 4

NAMESPACED: dict[str, Any] = {"watchNamespaces": ["research", "support"]}
MANY_NAMESPACES: dict[str, Any] = {**NAMESPACED, "rbac": {"readCluster": True}}
# A user without cluster-wide rights.
NOTHING_CLUSTER_WIDE: dict[str, Any] = {
    "watchNamespaces": ["research"],
    "crds": {"enabled": False},
    "progress": {"enabled": False},
    "rbac": {"aggregate": False},
}
EVERYTHING: dict[str, Any] = {
    "fullnameOverride": "tuner",
    "commonLabels": {"team": "models", "app.kubernetes.io/component": "not-theirs-to-set"},
    "imagePullSecrets": [{"name": "registry"}],
    "settings": {"workers": 4, "acceleratorMemory": "40Gi", "outputSize": "1Ti", "logLevel": "DEBUG", "logFormat": "text"},
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "replicas": 2,
    "serviceAccount": {"name": "tuner-operator", "annotations": {"example.com/role": "tuner"}},
    "rbac": {"secrets": True, "tryPods": True},
    "podAnnotations": {"example.com/note": "x"},
    "podLabels": {"example.com/tier": "platform"},
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "platform", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "service": {"annotations": {"example.com/scrape": "true"}},
    "serviceMonitor": {"enabled": True, "interval": "15s", "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "grafanaDashboard": {"enabled": True, "annotations": {"grafana_folder": "Models"}},
    "networkPolicy": {
        "enabled": True,
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [{"port": 3128}]}],
    },
    "podDisruptionBudget": {"enabled": True, "maxUnavailable": "50%"},
}
DIGESTS: dict[str, Any] = {
    "images": {
        "operator": {"registry": "registry.example.com", "digest": DIGEST},
        "trainer": {"registry": "registry.example.com:5000/", "repository": "models/trainer", "tag": "ignored", "digest": OTHER_DIGEST},
        "server": {"tag": "0.1.0-cuda"},
    }
}
AIR_GAPPED: dict[str, Any] = {
    "global": {"imageRegistry": "registry.internal:5000/mirror"},
    "images": {"operator": {"registry": "docker.io"}, "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "mirror"}],
}
VALUE_SETS: dict[str, dict[str, Any]] = {
    "default": {},
    "namespaced": NAMESPACED,
    "many-namespaces": MANY_NAMESPACES,
    "nothing-cluster-wide": NOTHING_CLUSTER_WIDE,
    "everything": EVERYTHING,
    "digests": DIGESTS,
    "air-gapped": AIR_GAPPED,
}
