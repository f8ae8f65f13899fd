"""Training on several processes: joining, stopping together, verified checkpoints, resuming with another number of processes."""
