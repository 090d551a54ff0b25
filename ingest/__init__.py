"""The HTTP tier: events in, one fsynced entry per commit out, answered afterwards."""
