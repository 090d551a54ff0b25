"""The tag of the tracker: by the names of the install, and for one version alone."""

import base64
import hashlib

import pytest

from schemas.snippet import snippet
from schemas.tracker_names import TrackerNames, made_path

URL = "https://in.example"
OWN = TrackerNames.of("/bdf/ghjkm.js")


def test_the_usual_names_need_no_more_than_the_site() -> None:
    """The script takes the path of its events by itself."""
    assert snippet(f"{URL}/", "a.example") == f'<script defer src="{URL}/f.js" data-site="a.example"></script>'


def test_own_names_are_said_to_the_script() -> None:
    """Where events go, and so where its further files are."""
    tag = snippet(URL, "a.example", hash_routing=True, names=OWN)
    assert tag == (
        f'<script defer src="{URL}/bdf/ghjkm.js" data-site="a.example" data-api="{URL}/bdf/ghjkm" data-hash></script>'
    )


def test_a_version_has_its_hash() -> None:
    """In its name, so that it can be cached for ever, and as the browser checks it."""
    script = b"the script"
    hashed = base64.b64encode(hashlib.sha384(script).digest()).decode()
    tag = snippet(URL, script=script)
    name = hashlib.sha256(script).hexdigest()[:12]
    assert tag == (
        f'<script defer src="{URL}/f.{name}.js" integrity="sha384-{hashed}" crossorigin="anonymous"></script>'
    )


@pytest.mark.parametrize(
    "path", ["", "/", "f.js", "/f", "/.js", "/a//f.js", "/a b.js", "/ä.js", "/a.b.js", "/f.js?v=1", "/../f.js"]
)
def test_a_path_of_which_no_names_can_be_made(path: str) -> None:
    """It is refused when a process starts."""
    with pytest.raises(ValueError, match=r"is no path like /f\.js"):
        TrackerNames.of(path)


def test_made_paths_are_fitting_and_differ() -> None:
    """Two installs have nothing in common that a list could name."""
    made = {made_path() for _ in range(100)}
    assert len({part for path in made for part in path.removesuffix(".js").split("/")[1:]}) == 200
    assert {TrackerNames.of(path).script for path in made} == made
