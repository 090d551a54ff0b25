"""Bytes of HTTP: connections and requests in, answers out. Knows no event."""
