"""The types that operator, trainer and server share: pydantic models, enums and names.

The operator writes a `TrainerConfig`. The trainer reports in a termination message. The exporter writes a `ModelManifest` beside the
model, and the server reads it. None of these packages imports another; all import this one.
"""
