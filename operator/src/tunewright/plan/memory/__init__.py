"""Whether a job fits into the memory of its ranks: the bytes under each ZeRO stage and offload, and the choice among them."""
