"""ingest/http/budget.py: memory of bodies is given out up to a limit."""

from ingest.http.budget import Budget


def test_a_budget_gives_no_more_than_it_has() -> None:
    """What does not fit takes nothing."""
    budget = Budget(100)
    assert budget.take(60)
    assert not budget.take(41)
    assert budget.take(40)
    budget.give(100)
    assert budget.held == 0
