"""The words that operator, trainer and server share, and nothing else: pydantic models, enums and names.

The operator writes a `TrainerConfig`; the trainer answers with a termination message; the exporter leaves a `ModelManifest`
beside the model; the server reads it. No package imports another: they meet here.
"""
