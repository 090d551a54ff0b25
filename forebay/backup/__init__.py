"""Copies everything that a `forebay up` keeps, while it runs, and makes a data directory from such a copy."""
