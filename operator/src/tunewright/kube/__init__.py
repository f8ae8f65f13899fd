"""The World port on a Kubernetes cluster: the only code that talks to the API server, and the only one that imports its client.

Promises: what already is as rendered is not written again; only objects of this very job are changed or deleted; every error of the API
server or of the way to it arrives as one of `tunewright.errors`. Refuses to take over what belongs to somebody else.
"""
