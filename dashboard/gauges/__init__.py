"""Shows numbers of sites to Prometheus."""
