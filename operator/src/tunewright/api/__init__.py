"""The language of a FineTuneJob: its specification and status, the rules between its fields, its CRD, and the reader of manifests.

Promises: what `admission.admit` returns can be planned. Refuses everything else, all at once, naming field, value, reason and way out.
Pure: nothing here touches files, clocks, the network or the environment.
"""
