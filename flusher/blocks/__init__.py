"""Entries become blocks: columns, sessions and the bytes of an INSERT. Pure."""
