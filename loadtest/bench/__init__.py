"""The maintainers' bench (`make bench`): targets P1 to P4b of docs/performance.md, each beside its baseline."""
