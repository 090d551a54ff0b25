"""Holds what every process stands on: logs, settings, ports, children, files, Redis clients. It knows no event."""
