"""Asks ClickHouse, remembers answers for seconds, and joins what several files of the catalogue say."""
