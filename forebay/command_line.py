"""Runs the `forebay` command: finds the module of the command that was called, and calls it.

A command is a module with two functions: `add_options(parser)`, and `command(options)`, which returns the exit code.
Only the called one is imported, because `forebay up` must not wait for the clients that the others need, nor keep them
in memory.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from forebay import config
from runtime.log import is_text, refuse
from runtime.settings import EXIT_SETTINGS, SettingsError
from runtime.version import version

# In the order in which a newcomer meets them. A new command is one line here and its module.
COMMANDS = {
    "up": ("forebay.up.command", "start everything on this machine: Redis, ClickHouse, ingest and flusher"),
    "site": ("forebay.commands.site", "add, change, list and remove the sites that are measured"),
    "key": ("forebay.commands.key", "make and revoke the keys with which programs read the numbers of sites"),
    "user": ("forebay.commands.user", "say who may look at the dashboard, and at which sites"),
    "share": (
        "forebay.commands.share",
        "make and revoke public links, which show the numbers of a site without a login",
    ),
    "report": (
        "forebay.commands.report",
        "tell people of sites by mail or a webhook: reports of a week or a day, spikes and drops",
    ),
    "query": ("forebay.commands.query", "ask ClickHouse"),
    "mcp": (
        "forebay.commands.mcp",
        "let an assistant on this machine ask the dashboard (Model Context Protocol, stdio)",
    ),
    "channels": (
        "forebay.commands.channels",
        "say what sources are called and which channel they belong to, and what that would change",
    ),
    "audit": (
        "forebay.commands.audit",
        "check the books: accepted = stored + duplicate + dead + erased + in flight",
    ),
    "replay": ("forebay.commands.replay", "deliver again what Redis still holds, for a ClickHouse that lost it"),
    "dead": ("forebay.commands.dead", "list, retry or drop the events and entries that could not be stored"),
    "settle": ("forebay.commands.settle", "let a stopped shard go on with what is left of its block"),
    "erase": (
        "forebay.commands.erase",
        "remove events on purpose: of a site, of a user, of a visitor, or older than a moment",
    ),
    "bots": ("forebay.commands.bots", "say why an event counts as a bot's, and judge stored events anew"),
    "backup": ("forebay.commands.backup", "copy everything that `forebay up` keeps, while it runs"),
    "restore": ("forebay.commands.restore", "make a data directory from a backup"),
    "migrate": ("forebay.commands.migrate", "create the tables in ClickHouse, or bring them to this version"),
}
# Whole programs, which take this process's place and get the rest of the command line.
PROGRAMS = {
    "ingest": "run the tier that accepts events (production)",
    "flusher": "run the tier that stores them in ClickHouse (production)",
    "dashboard": "run the process that shows the numbers: the page and its API (production)",
    "loadtest": "send events at a rate, and check that every accepted one is stored exactly once",
}


def _sentence(text: str) -> str:
    """Returns a text as a sentence; `str.capitalize` would write names in it small."""
    return text[:1].upper() + text[1:] + "."


def main(words: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code. Does not return from a program, which takes this process's place."""
    words = sys.argv[1:] if words is None else words
    try:
        words = _with_environment(words)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_SETTINGS
    name, rest = (words[0], words[1:]) if words else ("--help", [])
    if name in PROGRAMS:
        os.execv(sys.executable, [sys.executable, "-m", name, *rest])  # noqa: S606 - ours, without a shell
    if name not in COMMANDS:
        return _without_command(name)
    module = importlib.import_module(COMMANDS[name][0])
    parser = argparse.ArgumentParser(prog=f"forebay {name}", description=_sentence(COMMANDS[name][1]))
    module.add_options(parser)
    try:
        code: int = module.command(parser.parse_args(rest))
    except SettingsError as error:
        wanted = os.environ.get("FOREBAY_LOG_FORMAT", "auto") if name == "up" else "text"
        refuse(str(error), "text" if is_text(wanted) else "json")
        return EXIT_SETTINGS
    except KeyboardInterrupt:
        return 130
    return code


def _with_environment(words: Sequence[str]) -> Sequence[str]:
    """Returns the words behind `--env-file FILE`, and reads that file's variables. Raises SettingsError."""
    if words and words[0] == "--env-file":
        if len(words) == 1:
            raise SettingsError("--env-file needs the name of a file")
        config.read_environment_file(words[1])
        return words[2:]
    return words


def _without_command(word: str) -> int:
    if word in {"-V", "--version"}:
        sys.stdout.write(f"forebay {version()}\n")
        return 0
    described = {name: text for name, (_, text) in COMMANDS.items()} | PROGRAMS
    lines = [f"  {name:<10} {text}" for name, text in described.items()]
    usage = "\n".join(
        ("usage: forebay [--env-file FILE] COMMAND ...", "", *lines, "", "forebay COMMAND --help lists its options.")
    )
    if word in {"-h", "--help", "help"}:
        sys.stdout.write(usage + "\n")
        return 0
    sys.stderr.write(f"forebay: no such command: {word}\n{usage}\n")
    return EXIT_SETTINGS
