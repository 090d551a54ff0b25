"""Makes the load: what is sent, by whom, when, and the account of what was acknowledged."""
