"""The chDB engine served as a ClickHouse over HTTP."""
