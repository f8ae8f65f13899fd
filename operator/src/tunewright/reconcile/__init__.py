"""The spine: what a FineTuneJob goes through, again and again, until the world is as it says.

Knows only ports. Keeps nothing between two runs: every decision is made from the job, its children and their reports.
"""
