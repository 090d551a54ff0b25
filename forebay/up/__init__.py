"""`forebay up`: starts everything on one machine, and supervises it."""
