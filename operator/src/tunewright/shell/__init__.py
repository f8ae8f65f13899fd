"""The operator as a process in a cluster. kopf lives here and nowhere else, and only to watch: its handlers put keys into our queue.

Promises: it leaves nothing on the objects it watches (no finalizer, no annotation); it ends with an error when watching cannot go on, so
that the kubelet starts it again, and starting again writes nothing that is already there.
"""
