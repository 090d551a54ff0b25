"""Shows the numbers of a site: one catalogue of questions, an API and a page (docs/architecture.md)."""
