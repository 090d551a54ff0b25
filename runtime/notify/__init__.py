"""Tells people something: by mail, and by a webhook (docs/reports.md)."""
