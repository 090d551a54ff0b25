"""Declares Vercel's package, which loads Forebay's own tracker: it sends again what was not answered, with the same id."""

from tests.sdks.declared import Sdk

HERE = {"hostname": "{site}", "path": "/pricing", "utm_source": "letter"}
SCRIPT = Sdk(
    name="vercel",
    of="Vercel Analytics",
    runs_in="browser",
    packages=("@vercel/analytics",),
    comes_back=True,
    leaves_out={"silent": "tests/system/tracker makes it"}
    | dict.fromkeys(("200", "204", "400", "413", "429", "500"), "the same"),
    rows=(
        {"name": "pageview", **HERE, "referrer": "http://news.test/", "dialect": "native"},
        {"name": "Signup", **HERE, "props": {"plan": "pro", "seats": "3"}},
        {"name": "Download", **HERE},
        {"name": "pageview", "hostname": "{site}", "path": "/plans"},
    ),
)
SDKS = (SCRIPT,)
