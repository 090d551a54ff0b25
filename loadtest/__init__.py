"""Sends an open-loop load and accounts for every event: `forebay loadtest` from a shell, or from a program:

    from loadtest.watch.deployment import find
    from loadtest.load.profile import PROFILES
    from loadtest.run import run
    from loadtest.settings import Settings, SweepSettings
    from loadtest.sweep import sweep

    settings = Settings(profile=PROFILES["single"], deployment=find(data="forebay-data"), rate=5_000, duration_s=20)
    found = run(settings)                     # blocks; Result
    found.is_exact, found.stored_after_s, found.is_complete, found.is_generator_limited
    found.figures                             # the JSON of docs/loadtest.md

    knee = sweep(SweepSettings(settings=settings, rate_first=4_000, rung_s=20, seconds_max=300))
    knee.rate, knee.is_generator_limited, knee.figures["rungs"], knee.figures["final"]

Both take a `loadtest.report.progress.Progress`, and print nothing without one.
"""
