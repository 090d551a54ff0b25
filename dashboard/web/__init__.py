"""The HTTP side: who is answered, the page and its own API, downloads, probes."""
