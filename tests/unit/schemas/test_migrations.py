"""Files of schemas/migrations that were applied somewhere are never changed, not even in a comment."""

from __future__ import annotations

from forebay.commands.migrate import packaged

# A new migration gets its line in the commit that brings it; no line ever changes.
APPLIED = {
    "0001_events": "1631858d55c8e012095a585f745a37c8",
    "0002_rollups": "64b578cb1b88acdc6cf25ea2caba48e3",
    "0003_blocks": "60687fc1a06fd8a054224cb9dba1baa5",
    "0004_views": "8f0e80244493ecf6b3c212e8d7c786ce",
    "0005_probe": "d70d51c43edde4c66a2838afe36fe2d3",
    "0006_projections": "9497886eb7d1426c8d5614cd2bbbcbea",
    "0007_codecs": "ea74d59a3e7481ab915639de20a47211",
    "0008_power_loss": "e9d6d70d5b0124d96d466cf60be692f9",
    "0009_erasures": "5044ad3c378db51f39893acaa2351c89",
    "0010_ids": "bcfd0b6eb2393b5419dcf7ba4501b117",
    "0011_addresses": "e42af805915ee027c777fabf505e8f75",
    "0013_view_comments": "7ba590bc6a74dd69e61c7713c6d5ba94",
}


def test_an_applied_migration_is_never_changed() -> None:
    """An installation that applied the file refuses another one under its name: it could not be upgraded any more."""
    assert {migration.name: migration.checksum for migration in packaged()} == APPLIED
