"""The program that enforces NetworkPolicies on a node: kube-router's controller for them, built from `policies/`. Standard library only.

What was tried: sigs.k8s.io/kube-network-policies needs the kernel's CONFIG_NFT_QUEUE, which small kernels lack. kube-router as a whole brings
a BGP router, and downloads and compiles for minutes. Its controller alone takes seconds beside Kubernetes, since both compile the same
client. It needs the Debian packages ipset and iptables (needs.py).
"""

from binaries import HERE
from go_programs import GoProgram

POLICIES = GoProgram("policies", HERE / "policies")
find_policies, build_policies = POLICIES.find, POLICIES.build
