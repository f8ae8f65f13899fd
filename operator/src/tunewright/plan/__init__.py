"""Decisions: stages, names, ZeRO stage, offload and memory. Pure: all input comes as arguments.

The entry point is `plan.plan(job, refs, past, defaults)`. Its result can be rendered without further input. It raises `PlanRejected` if the
job must change, and `PlanWaiting` if an object that it names is missing.
"""
