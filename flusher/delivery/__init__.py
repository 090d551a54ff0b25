"""Stores each block in ClickHouse exactly once, and asks the questions that prove it."""
