"""The operator process in a cluster. Only this package uses kopf, and only to watch: its handlers put keys into the queue.

Promises: it adds no finalizer and no annotation to watched objects. If a watch cannot continue, the process ends with an error, so that the
kubelet restarts it. A restart writes nothing that exists already.
"""
