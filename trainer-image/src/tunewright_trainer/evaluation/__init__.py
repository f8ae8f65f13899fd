"""Held-out examples, scores of the base and the tuned model, and parity of an exported graph with the trained model."""
