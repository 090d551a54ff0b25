"""Tells people about sites: reports of a week or a day, spikes and drops (docs/reports.md)."""
