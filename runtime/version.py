"""Which Forebay this is."""

import importlib.metadata
import platform

NAME = "forebay"


def version() -> str:
    """The version of the package that is installed; `0+checkout` where none is."""
    try:
        return importlib.metadata.version(NAME)
    except importlib.metadata.PackageNotFoundError:
        return "0+checkout"


def build() -> dict[str, str]:
    """The labels of `forebay_build_info`."""
    return {"version": version(), "python": platform.python_version()}
