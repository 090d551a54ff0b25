"""Open-loop load with an exact account: `python -m loadtest`."""
