"""Decisions: which stages run, under which names, with which ZeRO stage, offload and memory. Pure: all it knows comes as arguments.

`plan.plan(job, refs, past, defaults)` is the door. What it returns can be rendered without a further question; what cannot be planned is
`PlanRejected` (the job must change) or `PlanWaiting` (the world must).
"""
