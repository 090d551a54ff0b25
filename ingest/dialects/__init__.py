"""Wire formats: what a client family sends and needs to hear, one module each."""
