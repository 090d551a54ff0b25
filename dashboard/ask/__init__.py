"""Asks ClickHouse, remembers its answers for seconds, and joins the answers of several files of the catalogue."""
