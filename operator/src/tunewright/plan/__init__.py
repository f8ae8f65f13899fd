"""Decisions: stages, names, ZeRO stage, offload and memory. Pure: all input comes as arguments.

The entry point is `plan.plan(job, refs, past, defaults)`. A plan can be rendered without further input. Instead of one it
returns a `Rejection` if the job must change, and `ReferencesMissing` if an object that it names is missing.
"""
