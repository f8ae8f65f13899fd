"""The command line `tunewright`. It reads manifests, runs the reconciler with `local`, and prints. It decides nothing."""
