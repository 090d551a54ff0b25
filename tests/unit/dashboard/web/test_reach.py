"""What a public link shows of each question that the page can ask: all panels, so a new one is judged as soon as there is one."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from dashboard.access.viewer import Forbidden, Viewer
from dashboard.catalogue import periods
from dashboard.catalogue.contract import FileQuestion, Question
from dashboard.sites.records import SiteView
from dashboard.web import reach
from dashboard.web.panel_request import PanelRequest, question_of
from dashboard.web.panels import PANELS
from schemas.links import SHOWN, Link, Shown
from schemas.site import Annotation, Funnel, Goal, RegisteredSite, Segment, SiteNotes

NOW = 1_773_500_000  # 2026-03-14 14:53 UTC
ZONE = "Asia/Kathmandu"
PERIOD = periods.days(date(2026, 3, 1), date(2026, 3, 10), ZONE, NOW)
# What a panel can't be without; of all others a link that shows nothing more shows what it has.
NEEDS: dict[str, Shown] = {
    "campaigns": "revenue",
    "revenue": "revenue",
    "properties": "properties",
    "property": "properties",
    "outbound": "properties",
    "downloads": "properties",
    "forms": "properties",
    "not_found": "properties",
    "retention": "users",
}
GIVEN = {"properties": {"name": "signup"}, "property": {"property": "plan"}, "funnel": {"name": "buy"}}
GOALS = (Goal(name="signup"), Goal(name="purchase"))
SITE = SiteView(
    name="example.com",
    zone=ZONE,
    is_registered=True,
    record=RegisteredSite(goals=GOALS, funnels=(Funnel(name="buy", steps=("signup", "purchase")),)),
    notes=SiteNotes(
        segments=(
            Segment(id=1, name="Germans", filters=[["is", "country", ["DE"]]]),
            Segment(id=2, name="payers", filters=[["and", [["is", "props.plan", ["pro"]]]]]),
        ),
        annotations=(Annotation(id=3, date="2026-03-05", text="launch"), Annotation(id=4, date="2025-01-01", text="old")),
    ),
)  # fmt: skip


def viewer(**fields: Any) -> Viewer:
    link = Link(hash="", site=SITE.name, **fields)
    return Viewer(kind="link", grants={SITE.name: "viewer"}, link=link)


def asked(panel: str, **more: Any) -> Question | FileQuestion:
    request = PanelRequest(site=SITE.name, panel=panel, **{"parameters": GIVEN.get(panel, {}), **more})
    return question_of(request, SITE, PERIOD, NOW)


def reached(question: Question | FileQuestion, **fields: Any) -> Question | FileQuestion:
    return reach.reached(question, viewer(**fields), SITE, NOW)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_is_shown_if_what_it_needs_is_ticked(panel: str) -> None:
    """Without that tick it is refused, with the other two as well; with it alone it is shown."""
    need = NEEDS.get(panel)
    others = tuple(one for one in SHOWN if one != need)
    if need is None:
        reached(asked(panel))
        return
    with pytest.raises(Forbidden, match="does not show"):
        reached(asked(panel), shows=others)
    question = asked(panel)
    assert reached(question, shows=(need,)) == question


def test_goals_are_shown_without_their_revenue() -> None:
    """All other numbers stay; whoever orders by revenue is refused."""
    found = reached(asked("goals"))
    assert isinstance(found, Question)
    assert found.metrics == ("visitors", "events", "conversion_rate")
    question = asked("goals")
    assert reached(question, shows=("revenue",)) == question
    with pytest.raises(Forbidden, match="revenue"):
        reached(asked("goals", order=[("total_revenue", "desc")]))


@pytest.mark.parametrize(
    "filters",
    [
        [["is", "props.plan", ["pro"]]],
        [["not", ["contains", "props.plan", ["p"]]]],
        [["or", [["is", "country", ["DE"]], ["and", [["matches", "props.plan", ["."]]]]]]],
        [["has_not_done", ["is", "props.plan", ["pro"]]]],
        [["is", "segment", [2]]],
        [["is", "goal", ["purchase plan=pro"]]],
        [["has_done", ["is", "goal", ["signup", "purchase plan=pro"]]]],
    ],
)
@pytest.mark.parametrize("panel", ["totals", "live", "series", "sources", "funnel"])
def test_no_filter_tells_of_a_property(panel: str, filters: list[Any]) -> None:
    """By its name, within another filter, by a segment, or in the text of a goal."""
    with pytest.raises(Forbidden):
        reached(asked(panel, filters=filters))
    reached(asked(panel, filters=filters), shows=("properties",))
    reached(asked(panel, filters=[["is", "goal", ["signup"]], ["is", "segment", [1]]]))


def test_a_comparison_beyond_the_days_is_left_out() -> None:
    """The numbers themselves are shown."""
    found = reached(asked("totals", compare="previous"), since=date(2026, 2, 25))
    assert isinstance(found, Question)
    assert found.compare is None
    whole = reached(asked("totals", compare="previous"), since=date(2026, 2, 19))
    assert isinstance(whole, Question)
    assert whole.compare is not None
    year = reached(asked("totals", compare="year"), days=30)
    assert isinstance(year, Question)
    assert year.compare is None


def test_last_days_end_today_where_the_site_is() -> None:
    """In Kathmandu it is the next day already."""
    late = 1_773_511_200  # 2026-03-14 18:00 UTC, 23:45 there
    assert reach.days_of(Link(hash="", site="", days=1), ZONE, late + 900).since == date(2026, 3, 15)
    assert reach.days_of(Link(hash="", site="", days=1), ZONE, late).since == date(2026, 3, 14)


def test_notes_that_tell_more_are_left_out() -> None:
    """Segments by properties, and annotations of other days; an owner who ticked them shows them."""
    known = reach.known(SITE, viewer(since=date(2026, 1, 1)), NOW)
    assert [one.name for one in known.notes.segments] == ["Germans"]
    assert [one.text for one in known.notes.annotations] == ["launch"]
    assert reach.known(SITE, viewer(shows=("properties",)), NOW) == SITE
    assert reach.known(SITE, Viewer(kind="local"), NOW) is SITE


WITH_PROPERTIES = replace(
    SITE,
    record=RegisteredSite(
        goals=(*GOALS, Goal(name="Big", event="purchase", props={"plan": "pro"})),
        funnels=(
            Funnel(name="buy", steps=("signup", "purchase")),
            Funnel(name="by the goal", steps=("signup", "Big")),
            Funnel(name="by the text", steps=("signup", "Paid=purchase plan=pro")),
        ),
    ),
)


def test_goals_and_funnels_that_count_by_a_property_are_left_out() -> None:
    """By a goal's name or by the text of a step, because their numbers are those of a property; an owner who ticked them shows them."""
    known = reach.known(WITH_PROPERTIES, viewer(), NOW)
    assert [one.name for one in known.record.goals] == ["signup", "purchase"]
    assert [one.name for one in known.record.funnels] == ["buy"]
    assert reach.known(WITH_PROPERTIES, viewer(shows=("properties",)), NOW) == WITH_PROPERTIES


MARCH_1 = 1_772_302_500  # where it is 2026-03-01 00:00
DAY_S = 86_400


@pytest.mark.parametrize(
    ("fields", "events", "said"),
    [
        ({}, (100, NOW), (100, NOW)),
        ({"since": date(2026, 3, 1)}, (100, NOW), (MARCH_1, NOW)),
        ({"until": date(2026, 3, 1)}, (100, NOW), (100, MARCH_1 + DAY_S - 1)),
        ({"since": date(2026, 3, 1), "until": date(2026, 3, 1)}, (100, NOW), (MARCH_1, MARCH_1 + DAY_S - 1)),
        ({"since": date(2026, 3, 1)}, (MARCH_1 + 5, NOW), (MARCH_1 + 5, NOW)),
        ({"since": date(2026, 3, 1)}, (100, MARCH_1 - 1), (None, None)),
        ({"until": date(2026, 2, 28)}, (MARCH_1, NOW), (None, None)),
        ({"days": 1}, (None, None), (None, None)),
    ],
)
def test_first_and_last_event_are_told_as_far_as_the_days_go(
    fields: dict[str, Any], events: tuple[int | None, int | None], said: tuple[int | None, int | None]
) -> None:
    """So a link whose days are over tells nobody whether anybody came since, and none tells since when there are events."""
    assert reach.seen(*events, viewer(**fields), ZONE, NOW) == said
    assert reach.seen(*events, Viewer(kind="local"), ZONE, NOW) == events


def test_a_link_can_be_read_as_it_was_written() -> None:
    """With dates; a tick that nobody knows makes a record that can't be read, and so a link that shows nothing."""
    made = Link(hash="a", site="b", since=date(2026, 1, 2), shows=("revenue",))
    assert Link.decode(made.encode()) == made
    with pytest.raises(msgspec.ValidationError):
        Link.decode(made.encode().replace(b"revenue", b"addresses"))
