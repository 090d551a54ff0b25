"""The contract between the tiers: events, rows, entries and migrations. Pure: no I/O."""
