"""Declares Snowplow's trackers. They drop what is answered 400, 401, 403, 410 or 422, and send everything else again."""

from tests.sdks.declared import Sdk

HERE = {"hostname": "{site}", "path": "/pricing", "utm_source": "letter"}
KEY = ("snowplow", lambda site: site.partition(".")[0])
ROWS = (
    {
        "name": "pageview", **HERE, "referrer": "http://news.test/", "user_id": "user-42", "dialect": "snowplow",
        "event_id": lambda said: len(said) == 36,
    },
    {"name": "add", "user_id": "user-42", "props": {"category": "shop", "label": "A-1"}},
    {"name": "sign_up", "user_id": "user-42", "props": {"plan": "pro"}},
)  # fmt: skip
BROWSER = Sdk(
    name="snowplow_browser",
    of="Snowplow",
    runs_in="browser",
    packages=("@snowplow/browser-tracker",),
    key=KEY,
    comes_back=True,
    is_brief=True,
    rows=ROWS,
)
NODE = Sdk(
    name="snowplow_node",
    of="Snowplow",
    runs_in="node",
    packages=("@snowplow/node-tracker",),
    key=KEY,
    comes_back=True,
    is_brief=True,
    rows=ROWS,
)
PYTHON = Sdk(
    name="snowplow_python",
    of="Snowplow",
    runs_in="python",
    packages=("snowplow-tracker",),
    key=KEY,
    comes_back=True,
    is_brief=True,
    rows=ROWS,
)
SDKS = (BROWSER, NODE, PYTHON)
