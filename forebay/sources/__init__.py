"""What hosts and words of `utm_source` are called and what they are: lists of them, read, checked, kept and compared."""
