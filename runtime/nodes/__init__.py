"""The servers of a Redis that has several: which of them holds a key, and how one command reaches it once."""
