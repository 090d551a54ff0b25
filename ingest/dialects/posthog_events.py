"""Says what the events of PostHog's clients are here: the vocabulary of the family, and nothing of its bodies (posthog.py).

    $pageview               pageview; a page before it, of a site that changes pages by script, is an engagement of its own
    $screen                 pageview of app://NAMESPACE/SCREEN
    $pageleave              engagement
    $web_vitals             vitals
    $identify, $set         identify, with the person's properties
    $create_alias, $merge_dangerously    alias
    $groupidentify          group
    any other name with $   is not kept, and is counted by its name: $autocapture, $exception, $feature_flag_called, ...
    a name of the site's own   itself

A client numbers its visitors: `$device_id`, which stays the same when a person is identified. Servers have none, so there
the person is the visitor too. Properties of the site's own are kept, those with a $ are what the client measured by itself.

Not promised: a person's properties beside other events ($set in a capture).
"""

from __future__ import annotations

from itertools import filterfalse
from typing import Any, NamedTuple

import msgspec

from ingest.dialects.contract import Item, Unsupported
from ingest.dialects.event import PAGEVIEW, Event, time_ms
from ingest.dialects.reading import Moment, text
from ingest.dialects.vocabulary import (
    ALIAS,
    ENGAGEMENT,
    GROUP,
    IDENTIFY,
    ORIGINAL,
    VITALS_NAME,
    is_number,
    money,
    screen_url,
)
from ingest.fates import Reason

Properties = dict[str, Any]

NAMES = {
    "$pageview": PAGEVIEW,
    "$screen": PAGEVIEW,
    "$pageleave": ENGAGEMENT,
    "$web_vitals": VITALS_NAME,
    "$identify": IDENTIFY,
    "$set": IDENTIFY,
    "$create_alias": ALIAS,
    "$merge_dangerously": ALIAS,
    "$groupidentify": GROUP,
}
RENAMED = frozenset(NAMES) - {"$pageview", "$identify"}  # what is another word here
ABOUT_PEOPLE = frozenset((IDENTIFY, ALIAS, GROUP))
# Clients of people: whether a person is identified is what they say. All others are servers, whose ids are of people.
CLIENTS = frozenset(
    ("web", "js", "posthog-js-lite", "posthog-react-native", "posthog-ios", "posthog-android", "posthog-flutter")
)
# What clients copy out of the page's URL, and what they say of the event itself. It has its own place, or the URL has it.
COPIES = """
token distinct_id utm_source utm_medium utm_campaign utm_content utm_term utm_id gclid gad_source gclsrc dclid gbraid wbraid fbclid
msclkid twclid li_fat_id mc_cid igshid ttclid rdt_cid epik qclid sccid irclid _kx"""
# What clients measure by themselves. Every name with a $ is left out; those that come with each event are so at once.
MEASURED = """
$active_feature_flags $app_build $app_name $app_namespace $app_version $browser $browser_language $browser_language_prefix
$browser_version $config_defaults $configured_session_timeout_ms $cookieless_mode $current_url $device $device_id $device_manufacturer
$device_name $device_type $geoip_disable $groups $has_recorded_snapshot $host $initial_person_info $insert_id $ip $is_emulator
$is_identified $is_server $lib $lib_custom_api_host $lib_rate_limit_remaining_tokens $lib_version $locale $network_carrier
$network_cellular $network_wifi $os $os_name $os_version $pageview_id $pathname $prev_pageview_duration $prev_pageview_id
$prev_pageview_last_content $prev_pageview_last_content_percentage $prev_pageview_last_scroll
$prev_pageview_last_scroll_percentage $prev_pageview_max_content $prev_pageview_max_content_percentage $prev_pageview_max_scroll
$prev_pageview_max_scroll_percentage $prev_pageview_pathname $process_person_profile $python_runtime $python_version
$raw_user_agent $recording_status $referrer $referring_domain $replay_sample_rate $screen_height $screen_name $screen_width
$sdk_debug_recording_script_not_loaded $sdk_debug_replay_event_trigger_status $sdk_debug_replay_internal_buffer_length
$sdk_debug_replay_internal_buffer_size $sdk_debug_replay_linked_flag_trigger_status
$sdk_debug_replay_remote_trigger_matching_config $sdk_debug_replay_trigger_groups_count $sdk_debug_replay_url_trigger_status
$sdk_debug_retry_queue_size $sdk_debug_session_start $search_engine $session_entry_host $session_entry_pathname
$session_entry_referrer $session_entry_referring_domain $session_entry_url $session_id $session_recording_start_reason $set
$set_once $surveys_activated $time $timezone $timezone_offset $user_id $viewport_height $viewport_width
$web_vitals_allowed_metrics $web_vitals_enabled_server_side $window_id"""
LEFT_OUT = frozenset((COPIES + MEASURED).split())
LEFT_OUT_OF_PAGES = LEFT_OUT | {"title"}
VITALS = {f"$web_vitals_{name}_value": name.lower() for name in ("LCP", "INP", "CLS", "FCP", "TTFB")}
DIRECT = "$direct"  # the referrer of a visit without one
NUMBERS = frozenset((int, float))
TEXT_OR_NONE = frozenset((str, type(None)))
# What has to be text. A number is taken as text, and anything else for not said.
TEXTS = (
    "$current_url", "$referrer", "$session_id", "$device_id", "$browser_language", "$locale", "token", "$raw_user_agent",
    "$ip", "title", "distinct_id",
)  # fmt: skip
LEFT = ".left"  # behind the id of a pageview: the id of the engagement with the page before it
# Options of Capture V1, which other generations say as properties.
OPTIONS = {"disable_skew_correction": "$ignore_sent_at", "process_person_profile": "$process_person_profile"}


class Said(msgspec.Struct, gc=False):
    """Holds an event as clients write it. Browsers have `distinct_id` in the properties, servers beside them.

    `session_id` and `options` are of Capture V1. `batch`, `api_key` and `sent_at` are those of a body, which is an event
    itself in some generations.
    """

    event: str | None = None
    properties: Properties | None = None
    uuid: str | None = None
    timestamp: str | int | float | None = None
    offset: int | float | None = None
    distinct_id: str | None = None
    set: Properties | None = msgspec.field(name="$set", default=None)
    set_once: Properties | None = msgspec.field(name="$set_once", default=None)
    token: str | None = None
    api_key: str | None = None
    session_id: str | None = None
    options: Any = None
    engage_token: str | None = msgspec.field(name="$token", default=None)
    engage_id: str | None = msgspec.field(name="$distinct_id", default=None)


class Sent(NamedTuple):
    """Holds what a body says for all of its events: the site's key, and the client's clock when it sent them."""

    key: str | None
    sent_at: str | int | float | None
    site: str


def site_of(key: str | None) -> str:
    """Returns the site's key as sites know it. Behind a colon a server writes its server key."""
    return f"posthog:{key.partition(':')[0]}" if key else "posthog:"


def sent(key: str | None, sent_at: str | float | None) -> Sent:
    """Returns what a body says for all of its events. A moment is read once for all of them, if it is one."""
    moment = time_ms(sent_at) if type(sent_at) is str else sent_at
    return Sent(key, sent_at if moment is None else moment, site_of(key))


def items_of(said: Said, body: Sent) -> tuple[Item, ...]:
    """Returns what one event of a client is: an event, with the page before it a second one, or why it is none."""
    name, found = said.event, said.properties or {}
    if name is None:
        if said.set is None and said.set_once is None:  # /engage/ has no name for what it does
            return (Reason.NOT_AN_EVENT,)
        name = "$set"
    if type(said.options) is dict:
        found = found | {OPTIONS[key]: value for key, value in said.options.items() if key in OPTIONS}
    ours = NAMES.get(name, name)
    if ours[:1] == "$":
        return (Unsupported.named(name),)
    event = _event(said, body, ours, found)
    if name == "$pageview":
        left = _left(event, found) if "$prev_pageview_duration" in found else None
        return (event,) if left is None else (event, left)
    if name == "$screen":
        _screen(event, found)
    elif ours == ENGAGEMENT:
        event.engaged_ms, event.scroll_pct = _reading(found)
    elif ours == VITALS_NAME:
        event.vitals = {short: found[long] for long, short in VITALS.items() if is_number(found.get(long))}
    item: Item = _about_people(event, said, found) if ours in ABOUT_PEOPLE else event
    if name in RENAMED:
        event.props = {ORIGINAL: name, **(event.props if isinstance(event.props, dict) else {})}
    return (item,)


def _event(said: Said, body: Sent, name: str, found: Properties) -> Event:
    get = found.get
    url, referrer, session = get("$current_url"), get("$referrer"), get("$session_id", said.session_id)
    device, language, token = get("$device_id"), get("$browser_language") or get("$locale"), get("token")
    agent, address, title = get("$raw_user_agent"), get("$ip"), get("title") if name == PAGEVIEW else None
    known = get("distinct_id", said.distinct_id)
    if known is None:
        known = said.engage_id
    if not TEXT_OR_NONE.issuperset(
        map(type, (url, referrer, session, device, language, token, agent, address, title, known))
    ):
        return _event(said, body, name, {**found, **{key: text(found[key]) for key in TEXTS if key in found}})
    key = token or said.token or said.api_key or said.engage_token
    event = Event(name=name, url=url or None, site=body.site if key is None or key == body.key else site_of(key))
    # To set a field costs a third of what it costs to name it in the call.
    if referrer and referrer != DIRECT:
        event.referrer = referrer
    event.title, event.language, event.session = title or None, language or None, session or None
    event.ip, event.user_agent = address or None, agent or None
    width: Any = get("$screen_width")
    height: Any = get("$screen_height")
    if type(width) in NUMBERS and type(height) in NUMBERS:
        event.screen = (width, height)
    left_out = LEFT_OUT if title is None else LEFT_OUT_OF_PAGES
    # Most pageviews have nothing of their own.
    if title is None or "$groups" in found or not left_out.issuperset(found):
        event.revenue = money(found["revenue"], get("currency")) if "revenue" in found else None
        event.props = _own(found, left_out, is_revenue=event.revenue is not None)
    event.id = said.uuid
    event.user, event.visitor = _who(known, device, found)
    if said.timestamp is not None or said.offset is not None:
        event.ts, event.sent_at = _moment(said, body.sent_at, found)
    return event


def _moment(said: Said, sent_at: Moment, found: Properties) -> tuple[Moment, Moment]:
    """Returns when an event happened, and by the same clock when it was sent, if that says how wrong the clock is."""
    ts: Moment = said.timestamp
    if ts is None:  # it has only how many milliseconds before it was sent
        if not is_number(sent_at) or time_ms(sent_at) is None:
            sent_at = 0
        ts = sent_at - (time_ms(said.offset or 0) or 0)
    return ts, None if found.get("$ignore_sent_at") is True else sent_at


def _who(known: str | None, device: str | None, found: Properties) -> tuple[str | None, str | None]:
    """Returns the person, if it is known who it is, and the visitor."""
    if not known or known[0] == "$":  # $posthog_cookieless is everybody, $company_acme is a group
        return None, device or None
    user = found.get("$user_id")
    if type(user) is str and user:
        return user, device or known
    if found.get("$is_identified") is True:
        return known, device or known
    is_server = not device and "$is_identified" not in found and text(found.get("$lib")) not in CLIENTS
    return known if is_server and found.get("$process_person_profile") is not False else None, device or known


def _own(found: Properties, left_out: frozenset[str], *, is_revenue: bool) -> Properties | None:
    """Returns the properties that a site gave the event by itself, and its groups."""
    names = [name for name in filterfalse(left_out.__contains__, found) if name[:1] != "$"]
    own = {name: value for name in names if (value := found[name]) is not None}
    if is_revenue:
        del own["revenue"]
        own.pop("currency", None)
    groups = found.get("$groups")
    if groups and type(groups) is dict:
        own["groups"] = groups
    return own or None


def _left(event: Event, found: Properties) -> Event | None:
    """Returns the engagement with the page that a pageview says it came from on the same document; None if it says none."""
    path, url = found.get("$prev_pageview_pathname"), event.url
    engaged_ms, scroll_pct = _reading(found)
    if type(path) is not str or not url or engaged_ms is None:
        return None
    scheme, _, rest = url.partition("://")
    page = f"{scheme}://{rest.partition('/')[0].partition('?')[0].partition('#')[0]}{path}"
    return Event(
        name=ENGAGEMENT,
        url=page,
        site=event.site,
        id=event.id + LEFT if event.id else None,
        ts=event.ts,
        sent_at=event.sent_at,
        user=event.user,
        visitor=event.visitor,
        session=event.session,
        engaged_ms=engaged_ms,
        scroll_pct=scroll_pct,
        language=event.language,
        screen=event.screen,
        ip=event.ip,
        user_agent=event.user_agent,
    )


def _reading(found: Properties) -> tuple[float | None, float | None]:
    """Returns the milliseconds on a page and the percent of it that was scrolled, of seconds and of a part of one."""
    seconds, part = found.get("$prev_pageview_duration"), found.get("$prev_pageview_max_scroll_percentage")
    return (
        seconds * 1_000 if is_number(seconds) else None,
        part * 100 if is_number(part) else None,
    )


def _screen(event: Event, found: Properties) -> None:
    """Gives a screen of an app the address app://NAMESPACE/SCREEN, and its name as the title."""
    screen, namespace = found.get("$screen_name"), found.get("$app_namespace")
    if type(screen) is str and screen:
        event.title = event.title or screen
        event.url = event.url or screen_url(namespace if type(namespace) is str else "", screen)


def _about_people(event: Event, said: Said, found: Properties) -> Item:
    """Makes an event say who is who: `user` is the person, `visitor` the earlier id, and props what is known of them."""
    get = found.get
    if event.name == GROUP:
        traits = get("$group_set")
        about = {"group_type": get("$group_type"), "group_id": get("$group_key")}
        event.props = {**about, **traits} if type(traits) is dict else about
        return event
    if event.name == ALIAS:
        return _alias(event, get("alias"), is_new=event.user is None or get("$lib") == "posthog-python")
    earlier = get("$anon_distinct_id")
    traits = {}
    for more in (said.set_once, get("$set_once"), said.set, get("$set")):
        if type(more) is dict:
            traits.update({name: value for name, value in more.items() if name[:1] != "$"})
    if type(earlier) is str and earlier:
        event.user = event.user or text(get("distinct_id", said.distinct_id))
        if not get("$device_id"):
            event.visitor = earlier
        elif earlier != event.visitor:
            traits["previous_id"] = earlier
    event.props = traits or None
    return event


def _alias(event: Event, other: Any, *, is_new: bool) -> Item:
    """Makes an event say that two ids are one person.

    `other` is the person's new id where a visitor is given one, and in the SDK for Python; else an earlier one.
    """
    known = event.user or event.visitor
    if type(other) is not str or not other or not known:
        return Reason.INVALID_FIELD
    event.user, earlier = (other, known) if is_new else (known, other)
    event.visitor = event.visitor or earlier if is_new else earlier
    event.props = {"previous_id": earlier}
    return event


def loose(found: Any) -> Said | Reason:
    """Returns an event some of whose fields have the wrong types: without these, or with a number as text."""
    if not isinstance(found, dict):
        return Reason.NOT_AN_EVENT
    get = found.get
    moment, offset = get("timestamp"), get("offset")
    if moment is not None and type(moment) is not str and not is_number(moment):
        return Reason.INVALID_FIELD
    return Said(
        event=text(get("event")),
        properties=_object(get("properties")),
        uuid=text(get("uuid")),
        timestamp=moment,
        offset=offset if is_number(offset) else None,
        distinct_id=text(get("distinct_id")),
        set=_object(get("$set")),
        set_once=_object(get("$set_once")),
        token=text(get("token")),
        api_key=text(get("api_key")),
        session_id=text(get("session_id")),
        options=get("options"),
        engage_token=text(get("$token")),
        engage_id=text(get("$distinct_id")),
    )


def _object(said: Any) -> Properties | None:
    return said if isinstance(said, dict) else None
