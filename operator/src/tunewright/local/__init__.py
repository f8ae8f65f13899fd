"""A small Kubernetes on one machine, for one person: objects as files, pods as processes, claims as folders, Services as ports.

Promises the objects and status fields of the real one, so that observe/ cannot tell; processes that outlive a killed supervisor and are
adopted by the next. Refuses, with an error that says so, what it would have to leave out: more containers in a pod, exec probes.
Not promised: isolation. The processes run as the person who started them; read-only mounts and network policies are not enforced.
"""
