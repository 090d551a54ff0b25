"""ingest/dialects/posthog_events.py: what each event of PostHog's clients is here."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.dialects.contract import Item, Unsupported
from ingest.dialects.event import Event, Revenue
from ingest.dialects.posthog_events import LEFT, Said, items_of, sent
from ingest.fates import Reason

SENT = sent("k", None)
BROWSER = {"$lib": "web", "$device_id": "d-1", "distinct_id": "d-1", "$is_identified": False}


def items(name: str | None, properties: dict[str, Any] | None = None, **more: Any) -> tuple[Item, ...]:
    return items_of(Said(event=name, uuid="u-1", properties=properties, **more), SENT)


def event(name: str | None, properties: dict[str, Any] | None = None, **more: Any) -> Event:
    [found] = items(name, properties, **more)
    assert isinstance(found, Event)
    return found


def test_a_pageview_has_every_field_that_a_browser_says() -> None:
    """What has a column goes there, what the site added is a property, and copies of the URL are left out."""
    found = event(
        "$pageview",
        BROWSER
        | {
            "$current_url": "https://a.example/p?utm_source=n",
            "$referrer": "https://b.example/",
            "title": "T",
            "$browser_language": "de-AT",
            "$screen_width": 1920,
            "$screen_height": 1080,
            "$session_id": "s-1",
            "$raw_user_agent": "UA",
            "$ip": "192.0.2.1",
            "token": "phc",
            "utm_source": "n",
            "gclid": None,
            "$os": "Linux",
            "plan": "pro",
            "empty": None,
        },
    )
    assert found == Event(
        name="pageview",
        url="https://a.example/p?utm_source=n",
        site="posthog:phc",
        referrer="https://b.example/",
        title="T",
        language="de-AT",
        screen=(1920, 1080),
        props={"plan": "pro"},
        id="u-1",
        visitor="d-1",
        session="s-1",
        ip="192.0.2.1",
        user_agent="UA",
    )


def test_a_direct_visit_has_no_referrer() -> None:
    """`$direct` is how posthog-js writes none."""
    assert event("$pageview", {"$referrer": "$direct"}).referrer is None


def test_a_title_is_of_pageviews_and_a_property_elsewhere() -> None:
    """Only a pageview has the title of its page from the client."""
    found = event("read", {"title": "Emma", "isbn": 1})
    assert (found.title, found.props) == (None, {"title": "Emma", "isbn": 1})


def test_a_page_left_by_script_is_an_engagement_of_its_own() -> None:
    """The next pageview of the same document says how long and how deep the page before it was read."""
    page, left = items(
        "$pageview",
        BROWSER
        | {
            "$current_url": "https://a.example/two?x=1#y",
            "$session_id": "s-1",
            "$prev_pageview_pathname": "/one",
            "$prev_pageview_duration": 12.345,
            "$prev_pageview_max_scroll_percentage": 0.74,
        },
    )
    assert isinstance(page, Event)
    assert isinstance(left, Event)
    assert (page.name, page.engaged_ms) == ("pageview", None)
    assert (left.name, left.url, left.id) == ("engagement", "https://a.example/one", "u-1" + LEFT)
    assert (left.engaged_ms, left.scroll_pct, left.visitor, left.session) == (12_345.0, 74.0, "d-1", "s-1")


def test_a_page_that_is_left_is_an_engagement() -> None:
    """PostHog counts in seconds, and in parts of one."""
    found = event("$pageleave", {"$prev_pageview_duration": 3, "$prev_pageview_max_scroll_percentage": 1})
    assert (found.name, found.engaged_ms, found.scroll_pct) == ("engagement", 3_000, 100)
    assert found.props == {"original_name": "$pageleave"}


def test_a_screen_is_a_pageview_of_an_address_that_is_made_of_it() -> None:
    """Of its name and of the app."""
    found = event(
        "$screen",
        {
            "$screen_name": "Sign up/Step 2",
            "$app_namespace": "com.example.app",
            "$lib": "posthog-react-native",
            "$device_id": "d-1",
            "$session_id": "s-1",
            "$locale": "en-GB",
            "$screen_width": 390.5,
            "$screen_height": 844,
            "plan": "pro",
        },
        distinct_id="d-1",
    )
    assert (found.name, found.url, found.title) == (
        "pageview",
        "app://com.example.app/Sign%20up/Step%202",
        "Sign up/Step 2",
    )
    assert (found.user, found.visitor, found.language, found.props) == (
        None,
        "d-1",
        "en-GB",
        {"original_name": "$screen", "plan": "pro"},
    )


def test_vitals_have_their_short_names() -> None:
    """A value that is no number is left out."""
    found = event(
        "$web_vitals", {"$web_vitals_LCP_value": 1_200.5, "$web_vitals_CLS_value": 0, "$web_vitals_INP_value": "x"}
    )
    assert (found.name, found.vitals) == ("vitals", {"lcp": 1_200.5, "cls": 0})


@pytest.mark.parametrize(
    ("properties", "user", "visitor"),
    [
        (BROWSER, None, "d-1"),
        (BROWSER | {"distinct_id": "ada", "$is_identified": True}, "ada", "d-1"),
        (BROWSER | {"distinct_id": "ada", "$user_id": "ada"}, "ada", "d-1"),
        ({"$lib": "web", "distinct_id": "d-2", "$is_identified": False}, None, "d-2"),
        ({"$lib": "posthog-react-native", "distinct_id": "d-2"}, None, "d-2"),
        ({"$lib": "posthog-python", "distinct_id": "ada"}, "ada", "ada"),
        ({"$lib": "posthog-node", "distinct_id": "ada", "$process_person_profile": False}, None, "ada"),
        ({"distinct_id": "ada"}, "ada", "ada"),
        ({"distinct_id": 42}, "42", "42"),
        ({"distinct_id": "$posthog_cookieless", "$cookieless_mode": True, "$device_id": None}, None, None),
        ({"distinct_id": {"a": 1}}, None, None),
        ({}, None, None),
    ],
)
def test_who_it_was(properties: dict[str, Any], user: str | None, visitor: str | None) -> None:
    """A browser is its device, and a person only once it says so; a server's id is a person, who is the visitor too."""
    found = event("bought", properties)
    assert (found.user, found.visitor) == (user, visitor)


def test_identify_joins_a_person_with_the_visitor_before() -> None:
    """The properties of the person are kept, without those that the client measured."""
    found = event(
        "$identify",
        {"distinct_id": "ada", "$anon_distinct_id": "d-1", "$device_id": "d-1", "$is_identified": True},
        set={"email": "a@b.c", "$current_url": "x"},
        set_once={"first": 1},
    )
    assert (found.name, found.user, found.visitor) == ("identify", "ada", "d-1")
    assert found.props == {"first": 1, "email": "a@b.c"}


def test_identify_after_a_reset_names_the_id_that_is_no_visitor() -> None:
    """posthog-js goes on with its device, and takes another anonymous id."""
    found = event(
        "$identify", {"distinct_id": "ada", "$anon_distinct_id": "n-2", "$device_id": "d-1", "$is_identified": True}
    )
    assert (found.visitor, found.props) == ("d-1", {"previous_id": "n-2"})


def test_identify_of_a_server_joins_too() -> None:
    """It has the earlier id, and no device."""
    found = event("$identify", {"$anon_distinct_id": "n-1", "$set": {"plan": "pro"}}, distinct_id="ada")
    assert (found.user, found.visitor, found.props) == ("ada", "n-1", {"plan": "pro"})


def test_set_is_an_identify_without_an_earlier_id() -> None:
    """It says more of a person who is known."""
    found = event("$set", {"$lib": "posthog-python"}, distinct_id="ada", set={"email": "a@b.c"})
    assert (found.name, found.user) == ("identify", "ada")
    assert found.props == {"original_name": "$set", "email": "a@b.c"}


def test_engage_has_no_name_and_sets() -> None:
    """It has its own names for the key and the person."""
    found = event(None, set={"email": "a@b.c"}, engage_token="k2", engage_id="ada")
    assert (found.name, found.site, found.user) == ("identify", "posthog:k2", "ada")


@pytest.mark.parametrize(
    ("properties", "user", "visitor"),
    [
        ({"$lib": "posthog-node", "distinct_id": "ada", "alias": "n-1"}, "ada", "n-1"),
        ({"$lib": "posthog-python", "distinct_id": "n-1", "alias": "ada"}, "ada", "n-1"),
        (BROWSER | {"alias": "ada"}, "ada", "d-1"),
        (BROWSER | {"distinct_id": "ada", "$is_identified": True, "alias": "ada-2"}, "ada", "ada-2"),
    ],
)
def test_alias_says_who_a_visitor_was(properties: dict[str, Any], user: str, visitor: str) -> None:
    """`alias` is the new id of a visitor, and in the SDK for Python; for a person who is known it is an earlier one."""
    found = event("$create_alias", properties)
    assert (found.name, found.user, found.visitor) == ("alias", user, visitor)
    assert found.props == {"original_name": "$create_alias", "previous_id": visitor}


@pytest.mark.parametrize("name", ["$create_alias", "$merge_dangerously"])
def test_an_alias_of_nobody_is_at_fault(name: str) -> None:
    """It says nothing without both ids."""
    assert items(name, {"distinct_id": "ada"}) == (Reason.INVALID_FIELD,)
    assert items(name, {"alias": "n-1"}) == (Reason.INVALID_FIELD,)


def test_a_group_has_its_kind_its_id_and_what_is_known_of_it() -> None:
    """The id that a server makes up for a group is nobody."""
    found = event(
        "$groupidentify",
        {"$group_type": "company", "$group_key": "acme", "$group_set": {"size": 9}},
        distinct_id="$company_acme",
    )
    assert (found.name, found.user, found.visitor) == ("group", None, None)
    assert found.props == {
        "original_name": "$groupidentify",
        "group_type": "company",
        "group_id": "acme",
        "size": 9,
    }


def test_groups_of_an_event_are_properties() -> None:
    """By the kind of the group."""
    assert event("bought", {"$groups": {"company": "acme"}}).props == {"groups": {"company": "acme"}}


@pytest.mark.parametrize(
    ("properties", "revenue", "props"),
    [
        ({"revenue": 49.9, "currency": "EUR", "sku": 1}, Revenue(49.9, "EUR"), {"sku": 1}),
        ({"revenue": "49.90", "currency": "eur"}, Revenue("49.90", "eur"), None),
        ({"revenue": 5}, Revenue(5, "USD"), None),
        ({"revenue": -5, "currency": None}, Revenue(-5, "USD"), None),
        ({"revenue": "a lot"}, None, {"revenue": "a lot"}),
        ({"revenue": 5, "currency": "Taler"}, None, {"revenue": 5, "currency": "Taler"}),
        ({"revenue": True}, None, {"revenue": True}),
        ({"currency": "EUR"}, None, {"currency": "EUR"}),
    ],
)
def test_revenue_is_money_if_it_can_be(
    properties: dict[str, Any], revenue: Revenue | None, props: dict[str, Any] | None
) -> None:
    """What is no amount stays a property, because a site may call anything so. A refund is negative."""
    found = event("bought", properties)
    assert (found.revenue, found.props) == (revenue, props)


@pytest.mark.parametrize(
    "name", ["$autocapture", "$rageclick", "$exception", "$feature_flag_called", "$$client_ingestion_warning", "$what"]
)
def test_what_is_not_kept_is_named(name: str) -> None:
    """By the name that the client gave."""
    assert items(name, BROWSER) == (Unsupported(name),)


def test_names_of_the_sites_own_stay_as_they_are() -> None:
    """Only names with a $ are of the client."""
    assert event("Application Opened").name == "Application Opened"
    assert event("survey sent").name == "survey sent"
