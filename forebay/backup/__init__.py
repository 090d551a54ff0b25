"""A copy of everything that a `forebay up` keeps, taken while it runs, and the way back."""
