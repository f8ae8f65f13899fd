"""Whether a job fits into the memory of its ranks: what it needs under each ZeRO stage and offload, and which of them it gets."""
