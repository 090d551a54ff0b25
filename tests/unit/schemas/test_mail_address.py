"""schemas/mail_address.py: what is an address, and that nothing else becomes a part of a mail."""

from __future__ import annotations

import pytest

from schemas.mail_address import mail_address


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        ("ann@example.org", "ann@example.org"),
        (" Ann.B+x@Example.ORG ", "Ann.B+x@example.org"),
        ("ann@www.example.org", "ann@www.example.org"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("root@localhost", "root@localhost"),
        ("o'neil@example.org", "o'neil@example.org"),
    ],
)
def test_an_address_has_one_form(said: str, stored: str) -> None:
    """The domain has no case; the part before it may have one."""
    assert mail_address(said) == stored


@pytest.mark.parametrize(
    "said",
    [
        "",
        "ann",
        "@example.org",
        "ann@",
        "ann@@example.org",
        "a b@example.org",
        "ann@example.org, eve@example.net",
        "ann@example.org\r\nBcc: eve@example.net",
        "ann\n@example.org",
        "Ann <ann@example.org>",
        "<ann@example.org>",
        '"a b"@example.org',
        "änn@example.org",
        ".ann@example.org",
        "a..b@example.org",
        "a" * 65 + "@example.org",
        "ann@" + "a." * 130 + "org",
        "ann@exa mple.org",
        "ann@example.org>",
        "ann\u2028@example.org",
        "\uff41nn@example.org",
    ],
)
def test_what_is_no_address_is_refused(said: str) -> None:
    """Its text shows what was said, shortened."""
    with pytest.raises(ValueError, match="no mail address"):
        mail_address(said)
