"""Says what a run found: text, JSON and a page."""
