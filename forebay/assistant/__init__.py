"""Connects an assistant on this machine with the dashboard."""
