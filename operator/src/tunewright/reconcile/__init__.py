"""The reconciler of a FineTuneJob, which runs until the world matches the spec.

It uses only interfaces and keeps no state between runs: every decision uses the job, its children and their reports.
"""
