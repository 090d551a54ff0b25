"""The words of the Stats APIs: which the catalogue knows, and what is said to those that it does not."""

from __future__ import annotations

import pytest

from dashboard.catalogue.contract import Refused
from dashboard.catalogue.dimensions import dimension_of
from dashboard.catalogue.filter_json import from_json
from dashboard.catalogue.filters import All, Any, Compare, Done, Not
from dashboard.stats.country_names import NAMES, by_code
from dashboard.stats.words import DIMENSIONS, TIMES, dimension, metric


def test_the_catalogue_has_each_dimension() -> None:
    """Each word has a dimension, and a property's name is handed on as it is."""
    for word in (*DIMENSIONS, *TIMES[1:], "event:props:a:b"):
        assert dimension_of(dimension(word)).name == dimension(word)
    assert dimension("event:props:a:b") == "props.a:b"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("visit:medium", 'The dimension "visit:medium" is not known. Did you mean visit:utm_medium?'),
        ("event:entry_page", "Did you mean visit:entry_page?"),
        ("visit:contry", "Did you mean visit:country?"),
        ("page", "Did you mean event:page?"),
        ("event:props:", "is not known. Known: event:goal, event:page"),
        ("visit:region_name", "Forebay does not have names of regions: ask for visit:region"),
        ("time:minute", "Forebay does not have minutes: ask for time:hour."),
        ("", "is not known"),
    ],
)
def test_what_is_no_dimension(word: str, said: str) -> None:
    """A word that is nearly right is answered with the right one, and one that is missing with what there is."""
    with pytest.raises(Refused) as caught:
        dimension(word)
    assert said in str(caught.value)


@pytest.mark.parametrize("given", ["visitor", "", None, 3, ["visits"]])
def test_what_is_no_metric(given: object) -> None:
    """All metrics are named to whoever asks for another one."""
    with pytest.raises(Refused, match=r"is not known. Known: visitors, visits, pageviews,"):
        metric(given)


def codes(*filters: object) -> object:
    tree = from_json(list(filters))
    assert tree is not None
    return by_code(tree, "name", "country")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (["is", "name", ["Germany", "France"]], Compare("is", "country", ("DE", "FR"))),
        (["is_not", "name", ["Germany"]], Compare("is_not", "country", ("DE",))),
        (["is", "name", ["germany"]], Compare("is", "country", ("?",))),
        (["is", "name", ["germany"], {"case_sensitive": False}], Compare("is", "country", ("DE",))),
        (["is", "name", ["(not set)"]], Compare("is", "country", ("(not set)",))),
        (["contains", "name", ["Korea"]], Compare("is", "country", ("KP", "KR"))),
        (["contains_not", "name", ["guinea"], {"case_sensitive": False}],
         Compare("is_not", "country", ("GN", "GQ", "GW", "PG"))),
    ],
)  # fmt: skip
def test_a_country_by_its_name_is_one_by_its_code(given: object, code: Compare) -> None:
    """Rows have codes, so a filter by name becomes one by all codes whose names fit."""
    assert codes(given) == code


def test_countries_are_found_within_all_filters() -> None:
    """Whatever a condition stands in, what it is a condition on is replaced, and nothing else."""
    germany, other = ["is", "name", ["Germany"]], ["is", "page", ["/"]]
    is_germany, is_other = Compare("is", "country", ("DE",)), Compare("is", "page", ("/",))
    assert codes(["or", [germany, ["not", germany]]], ["has_not_done", other]) == All(
        (Any((is_germany, Not(is_germany))), Done(is_other, is_done=False))
    )


def test_a_pattern_of_a_country_is_refused() -> None:
    """Names are not in ClickHouse, so it can't match them."""
    with pytest.raises(Refused, match="ask for visit:country"):
        codes(["matches", "name", ["^G"]])
    assert len(NAMES) == 250
