"""How the node's own programs are configured: kubelet, kube-proxy, CoreDNS and the scheduler. Pure: from a slot to files and flags."""

from pathlib import Path
from typing import Any

from containerd import SOCKET
from slots import Slot

NODE_NAME = "node-1"
CLUSTER_DOMAIN = "cluster.local"


def kubelet(slot: Slot, *, dns: str, certificate: str) -> dict[str, Any]:
    """Return kubelet's configuration. It is in the folder of the certificates it names; `certificate` is its own one's name."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": "ca.crt"}},
        "authorization": {"mode": "Webhook"},
        "address": slot.address,
        "tlsCertFile": f"{certificate}.crt",
        "tlsPrivateKeyFile": f"{certificate}.key",
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "cgroupDriver": "cgroupfs",  # there need be no systemd
        "cgroupRoot": f"/{slot.name}",  # two nodes on one machine do not share a group
        "failCgroupV1": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "oomScoreAdj": 0,  # a lower score than its parent's needs CAP_SYS_RESOURCE
        "clusterDNS": [dns],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": "resolv.conf",  # an empty one: pods do not learn the machine's name servers
        "imageGCHighThresholdPercent": 100,  # never: an image that came from an archive cannot be pulled again
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "serializeImagePulls": False,
        "maxPods": 100,
    }


def kubelet_flags(kubeconfig: Path, slot: Slot, name: str) -> list[str]:
    """Return what kubelet takes from flags only."""
    return [f"--kubeconfig={kubeconfig}", f"--hostname-override={name}", f"--node-ip={slot.address}"]


def proxy(kubeconfig: Path, slot: Slot, name: str) -> dict[str, Any]:
    """Return kube-proxy's configuration; zeros leave the kernel's settings for connections as they are, which may be read-only."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": slot.address,
        "hostnameOverride": name,
        "clusterCIDR": slot.pods,
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nftables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
        "oomScoreAdj": 0,
    }


def corefile(kubeconfig: Path, slot: Slot) -> str:
    """Return CoreDNS's configuration: the cluster's names, and for every other a refusal at once. Nothing is cached."""
    return f"""
.:53 {{
  bind {slot.address}
  errors
  kubernetes {CLUSTER_DOMAIN} in-addr.arpa {{
    kubeconfig {kubeconfig}
    ttl 1
  }}
}}
"""
