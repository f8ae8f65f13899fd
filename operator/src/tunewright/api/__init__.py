"""The language of a FineTuneJob: its specification and status, the rules between its fields, its CRD, and the reader of manifests.

Promises: a job that `admission.admit` returns can be planned. Refuses every other job, and names all faults: field, value, reason, way out.
Pure: no access to files, clocks, the network or the environment.
"""
