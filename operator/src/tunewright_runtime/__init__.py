"""A controller runtime: what any operator needs between the API server and its reconcile function.

Promises: it names no kind but those of its `Scheme` and the few of Kubernetes that it uses itself (Event, Lease, TokenReview). It decides
nothing about what an operator renders. Refuses to import the operator; of the contract it imports the reading of quantities alone.
"""
