"""Finds the events of a block that came before."""
