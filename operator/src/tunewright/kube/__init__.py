"""The World port on a Kubernetes cluster: what this operator reads and writes there, over `tunewright_runtime`.

Promises: an object that is as rendered is not written; only objects of this job are changed or deleted; every error of the API server or
of the connection is one of `tunewright_runtime.errors`. Refuses to change objects of another owner.
"""
