"""A controller runtime: the code between the API server and an operator's reconcile function.

Promises: it names only the kinds of its `Scheme` and the few that it uses itself (Event, Lease, TokenReview), and decides nothing about
rendering. It does not import the operator, and of the contract only the parsing of quantities.
"""
