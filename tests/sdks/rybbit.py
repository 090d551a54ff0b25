"""Declares Rybbit's clients. None of them sends anything again, so an event whose request was refused is gone."""

from tests.sdks.declared import Sdk, looks_at_no_answer

HERE = {"hostname": "{site}", "path": "/pricing", "utm_source": "letter"}
CAME = "http://news.test/"
KEY = ("rybbit", lambda site: site.partition(".")[0])
VITALS = {"name": "vitals", "vitals": {"ttfb": lambda value: value >= 0}}  # after 20 s
JS = Sdk(
    name="rybbit_js",
    of="Rybbit",
    runs_in="browser",
    packages=("@rybbit/js",),
    key=KEY,
    comes_back=False,
    leaves_out=looks_at_no_answer(),
    at_times=(VITALS,),
    rows=(
        {"name": "pageview", **HERE, "referrer": CAME, "title": "Pricing", "language": "en-GB", "dialect": "rybbit"},
        {"name": "Signup", **HERE, "props": {"plan": "pro", "seats": "3"}},
        {"name": "Outbound Link: Click", **HERE, "props": {"url": "http://elsewhere.test/there"}},
        {"name": "identify", "user_id": "user-42", "props": {"plan": "pro"}},
        {"name": "pageview", "hostname": "{site}", "path": "/plans", "user_id": "user-42"},
    ),
)
NODE = Sdk(
    name="rybbit_node",
    of="Rybbit",
    runs_in="node",
    packages=("@rybbit/node",),
    key=KEY,
    comes_back=False,
    leaves_out=looks_at_no_answer(),
    rows=(
        {"name": "pageview", **HERE, "referrer": CAME, "title": "Pricing", "user_id": "user-42"},
        {"name": "Signup", "path": "/pricing", "user_id": "user-42", "props": {"plan": "pro", "seats": "3"}},
    ),
)
SDKS = (JS, NODE)
