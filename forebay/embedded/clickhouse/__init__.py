"""Serves the chDB engine as ClickHouse over HTTP."""
