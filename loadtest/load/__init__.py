"""Makes the load: what is sent, by which process, when, and the account of what was acknowledged."""
