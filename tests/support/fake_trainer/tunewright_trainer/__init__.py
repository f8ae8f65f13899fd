"""Stands in for the trainer in tests of the world around it: same commands, same environment, same last words, no torch."""
