"""From trained weights to a model folder: merge, ONNX, dry run, lineage, atomic publishing."""
