"""Finds the events of a block that were stored before: copies, by the ids that clients give."""
