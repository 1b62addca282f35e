"""The `kb` command: a group; each command sits in kb.commands, ingest, web or a third party's package.

A package adds commands through the entry-point group `kb.commands`. They are imported only when
called, so that `kb --help` and `kb ask` start quickly.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from kb.errors import KbError

BUILT_IN = {
    "up": "kb.commands.up:up",
    "list": "kb.commands.documents:list_",
    "show": "kb.commands.documents:show",
    "rm": "kb.commands.documents:rm",
    "retry": "kb.commands.documents:retry",
    "search": "kb.commands.questions:search",
    "ask": "kb.commands.questions:ask",
    "faq": "kb.commands.faq:faq",
    "collection": "kb.commands.collection:collection",
    "group": "kb.commands.group:group",
    "user": "kb.commands.people:user",
    "key": "kb.commands.people:key",
    "eval": "kb.commands.evaluate:evaluate_",
    "doctor": "kb.commands.doctor:doctor",
    "backup": "kb.commands.backup:backup",
    "config": "kb.commands.config:config",
    "version": "kb.commands.config:version",
    "sample": "kb.commands.sample:sample",
}


class Commands(click.Group):
    """Built-in commands and those of entry points, imported when called."""

    def _points(self) -> dict[str, EntryPoint]:
        points = {name: EntryPoint(name, value, "kb.commands") for name, value in BUILT_IN.items()}
        for point in entry_points(group="kb.commands"):
            points.setdefault(point.name, point)
        return points

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._points())

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in BUILT_IN:  # spared the scan of installed packages
            point: EntryPoint | None = EntryPoint(name, BUILT_IN[name], "kb.commands")
        else:
            point = self._points().get(name)
        try:
            command = point.load() if point else None
        except ImportError as error:  # another package's command must not take ours down
            return click.Command(name, help=f"(not available: {error})", callback=_unavailable(name, error))
        return command if isinstance(command, click.Command) else None


def _unavailable(name: str, error: ImportError) -> Callable[[], None]:
    def callback() -> None:
        raise click.ClickException(f"kb {name} cannot be loaded: {error}")

    return callback


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def kb() -> None:
    """A knowledge base that answers from your own documents, cites them, and says when they hold no answer."""


def main() -> None:
    """Run a command. What it creates is its owner's alone: most of it is the state, which holds everybody's documents.

    0 done, 1 failed with a message, 2 wrong usage; a traceback only with KB_DEBUG=1."""
    before = os.umask(0o077)
    try:
        code = kb(prog_name="kb", standalone_mode=False, obj=before)
    except click.exceptions.Abort:
        click.echo("Stopped.", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SystemExit as end:
        sys.exit(0 if _seen_enough(end) else end.code)
    except KbError as error:
        _fail(f"{error.title}: {error.detail}" if error.title not in error.detail else error.detail)
    except Exception as error:
        _fail(_describe(error))
    else:  # outside its standalone mode click returns the status of Exit(1) instead of ending with it
        sys.exit(code if isinstance(code, int) else 0)


def _seen_enough(end: SystemExit) -> bool:
    """Whether it is only that the reader of a pipe left, as in `kb list | head`: click and rich call that a failure."""
    return isinstance(end.__context__, BrokenPipeError) or "PacifyFlush" in type(sys.stdout).__name__


def _describe(error: Exception) -> str:
    from pydantic import ValidationError

    if isinstance(error, ValidationError) and error.title == "Settings":
        lines = [f"KB_{'_'.join(map(str, e['loc'])).upper()}: {_wrong(e)}" for e in error.errors()]
        return "A setting is wrong; `kb config --help-table` lists them all.\n  " + "\n  ".join(lines)
    if type(error).__name__ == "TOMLDecodeError":
        return f"{os.environ.get('KB_CONFIG', 'kb.toml')} is not valid TOML: {error}"
    if isinstance(error, OSError) and error.filename:
        state = os.environ.get("KB_DATA")
        hint = ". KB_DATA names it: choose a directory that you may write to"
        return f"{error.filename}: {error.strerror}" + (hint if str(error.filename) == state else "")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "There is no space left on the device that this is written to. Free some, and run it again."
    return f"{type(error).__name__}: {error} (run again with KB_DEBUG=1 for the details)"


def _wrong(found: Mapping[str, Any]) -> str:
    """What is wrong with a setting, and what was given. A secret's type is text, which nothing is wrong with."""
    if found["type"] == "extra_forbidden":
        return "is not a setting"
    if found["type"] == "value_error":  # in our own words
        return f"{found['msg'].removeprefix('Value error, ')}, not {found['input']!r}"
    return f"{found['msg'].replace('Input should', 'must').split(',')[0]}, not {found['input']!r}"


def _fail(message: str) -> None:
    if os.environ.get("KB_DEBUG") == "1":
        import traceback

        traceback.print_exc()
    click.echo(message, err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
