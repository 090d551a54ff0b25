"""The Redis of the flusher: leases, streams, checkpoints."""
