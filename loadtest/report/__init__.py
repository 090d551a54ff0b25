"""Reports what a run found, as text, as JSON and as a page."""
