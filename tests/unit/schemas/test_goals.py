"""schemas/goals.py: what people write is what is kept, and can be written again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.acts import NO_ACTS
from schemas.goals import (
    NAME_CHARS_MAX,
    TEXT_CHARS_MAX,
    funnel_of,
    funnel_text,
    goal_of,
    goal_text,
    require_unused,
)
from schemas.site import Funnel, Goal, RegisteredSite

READ = {
    "purchase": Goal(name="purchase", event="purchase"),
    "  Outbound Link: Click ": Goal(name="Outbound Link: Click", event="Outbound Link: Click"),
    "Visit /thanks": Goal(name="Visit /thanks", page="/thanks"),
    "Visit /blog/*": Goal(name="Visit /blog/*", page="/blog/*"),
    "Visit *": Goal(name="Visit *", page="*"),
    "Visit *.pdf": Goal(name="Visit *.pdf", page="*.pdf"),
    "Visit /a=b": Goal(name="Visit /a=b", page="/a=b"),
    "Visit /über uns": Goal(name="Visit /%C3%BCber%20uns", page="/%C3%BCber%20uns"),
    "Visit /thanks plan=pro": Goal(name="Visit /thanks plan=pro", page="/thanks", props={"plan": "pro"}),
    "Visitors": Goal(name="Visitors", event="Visitors"),
    "Thanks=Visit /thanks": Goal(name="Thanks", page="/thanks"),
    "Big order = purchase plan=pro": Goal(name="Big order", event="purchase", props={"plan": "pro"}),
    'Pro=Sign up plan="pro yearly" from=""': Goal(
        name="Pro", event="Sign up", props={"plan": "pro yearly", "from": ""}
    ),
    "same=purchase a=1 b=2": Goal(name="same", event="purchase", props={"a": "1", "b": "2"}),
}


@pytest.mark.parametrize("text", READ)
def test_a_goal_is_read_as_the_page_says(text: str) -> None:
    """Events, pages, properties and names of its own; and what is read is written such that it is read again."""
    goal = goal_of(text)
    assert goal == READ[text]
    assert goal_of(goal_text(goal)) == goal


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is missing"),
        ("=purchase", "the name of the goal"),
        ("big=", "is missing"),
        ("engagement", "every page sends"),
        ("identify", "no act"),
        ("x=vitals plan=pro", "every page sends"),
        ("a=b=c", "is no event"),
        ("Visit /a?b=c", r"has a query"),
        ("a\tb", "printed"),
        ("a\ud800", "printed"),
        ("x" * (NAME_CHARS_MAX + 1), "120 characters"),
        ("x" * (TEXT_CHARS_MAX + 1), "2000 characters"),
        ("x=y " + " ".join(f"k{at}=v" for at in range(9)), "at most 8"),
        ("x=y " + "k" * 61 + "=v", "60 characters"),
    ],
)
def test_what_is_no_goal_is_refused_with_what_is_wrong(text: str, said: str) -> None:
    """Whoever wrote it hears it in a sentence."""
    with pytest.raises(ValueError, match=said):
        goal_of(text)


WORDS = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters='="/?'), min_size=1, max_size=20)
NAMES = WORDS.filter(lambda word: word not in NO_ACTS)


@given(
    NAMES,
    NAMES,
    st.booleans(),
    st.dictionaries(WORDS, st.text(st.characters(exclude_categories=["C"], exclude_characters='"')), max_size=4),
)
def test_every_goal_that_can_be_written_is_read_again(
    name: str, what: str, is_page: bool, props: dict[str, str]
) -> None:
    """Also with values that are empty or have blanks."""
    text = f"{name}={'Visit /' if is_page else ''}{what}" + "".join(f' {key}="{value}"' for key, value in props.items())
    goal = goal_of(text)
    assert (goal.name, goal.props) == (name, props)
    assert goal_of(goal_text(goal)) == goal


def test_a_text_with_many_blanks_takes_no_time() -> None:
    """A pattern that tried each of them as a beginning would take a power of their number."""
    with pytest.raises(ValueError, match="printed"):
        goal_of("x" + " " * (TEXT_CHARS_MAX - 5) + "\x01y")


def test_a_funnel_is_read_with_its_steps() -> None:
    """Names of goals and goals, in their order; and it is written as it was."""
    funnel = funnel_of("buy = Visit /cart, purchase")
    assert funnel == Funnel(name="buy", steps=("Visit /cart", "purchase"))
    assert funnel_text(funnel) == "buy=Visit /cart,purchase"
    assert funnel_of(funnel_text(funnel)) == funnel


@pytest.mark.parametrize(
    "text", ["buy", "buy=purchase", "=a,b", "buy=" + "a," * 8 + "a", "buy=a,,b", "b\ny=a,b", "x" * 2_001]
)
def test_what_is_no_funnel_is_refused(text: str) -> None:
    """It needs a name and two to eight steps, none of them empty."""
    with pytest.raises(ValueError, match=r"\w+"):
        funnel_of(text)


def test_a_goal_that_a_funnel_knows_by_its_own_name_is_kept() -> None:
    """Without it the step would mean an event of that name, and the funnel would say something else in silence."""
    site = RegisteredSite(
        goals=(goal_of("Big order=purchase plan=pro"), goal_of("purchase")),
        funnels=(funnel_of("buy=Big order,purchase"),),
    )
    with pytest.raises(ValueError, match="the funnel 'buy'"):
        require_unused("Big order", site)
    require_unused("purchase", site)
    require_unused("no such goal", site)
