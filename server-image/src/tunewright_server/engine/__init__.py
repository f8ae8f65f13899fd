"""Continuous batching: one thread, one graph, many requests. Knows tokens and text, and nothing of HTTP."""
