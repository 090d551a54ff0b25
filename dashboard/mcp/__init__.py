"""Answers assistants in the Model Context Protocol."""
