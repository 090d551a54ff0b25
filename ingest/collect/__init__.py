"""A request becomes rows: limits, sites, visitors and what the server knows. Never waits."""
