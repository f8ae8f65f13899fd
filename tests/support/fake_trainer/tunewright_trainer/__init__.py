"""Replaces the trainer in tests: same commands, same environment, same termination messages, no torch."""
