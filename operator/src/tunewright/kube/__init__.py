"""The World port on a Kubernetes cluster: what this operator reads and writes there, over `tunewright_runtime`.

Promises: what already is as rendered is not written again; only objects of this very job are changed or deleted; every error of the API
server or of the way to it arrives as one of `tunewright_runtime.errors`. Refuses to change objects of another owner.
"""
