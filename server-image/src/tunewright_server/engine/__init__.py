"""Continuous batching: one thread, one graph, many requests. It handles tokens and text, and does not import HTTP."""
