"""The ground floor of every process: logs, settings, ports, children, files. Knows no event."""
