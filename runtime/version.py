"""Tells which version of Forebay runs."""

import importlib.metadata
import platform

NAME = "forebay"


def version() -> str:
    """Returns the version of the installed package, or `0+checkout` if it is not installed."""
    try:
        return importlib.metadata.version(NAME)
    except importlib.metadata.PackageNotFoundError:
        return "0+checkout"


def build() -> dict[str, str]:
    """Returns the labels of `forebay_build_info`."""
    return {"version": version(), "python": platform.python_version()}
