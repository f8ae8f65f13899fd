"""Tunewright: from a FineTuneJob to a served model, on Kubernetes or on one machine."""
