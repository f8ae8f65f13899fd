"""A small Kubernetes on one machine, for one person: objects as files, pods as processes, claims as folders, Services as ports.

Promises the same objects and status fields as Kubernetes, so that observe/ reads both alike. Processes continue after their supervisor is
killed, and the next one adopts them. Refuses with an error what it does not imitate: several containers in a pod, exec probes. Not
promised: isolation. The processes run as the user; read-only mounts and network policies are not enforced.
"""
