"""What is known of sites beside their rows: records, notes, keys, and whether their events arrive."""
