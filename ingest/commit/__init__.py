"""Rows in, durable out: group commits into Redis, or into the spool. Knows no HTTP."""
