"""Training with several processes: process group, coordinated stop, verified checkpoints, resuming with another number of processes."""
