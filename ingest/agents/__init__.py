"""Finds out what software sent a request, on what device, and whether it is a program, by the head alone."""
