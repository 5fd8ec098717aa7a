"""The command line of every program: typed settings become flags, logging is set up, an error ends in one line.

A command is a dataclass whose fields are its flags, with their help in the field's docstring, and whose `run` does the
work (tyro makes the parser). Results go to stdout, everything else to stderr through `logging`. Exit codes: 0 done,
1 a check failed or nothing has a score, 2 wrong input or a file that can't be used, 130 Ctrl-C, 141 nobody reads on.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import importlib.metadata
import io
import logging
import os
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mmcr_dataset.command_flags import near, parse

PACKAGES = ("mmcr_dataset", "mmcr_bench", "training", "eval_tasks", "experiments")
COMMON_HELP = "-v, --verbose (debug log and tracebacks) and -q, --quiet (warnings only)"
log = logging.getLogger(__name__)
Commands = Mapping[str, "str | Commands"]  # name -> `module:Class`, or the commands below that name


class Command(Protocol):
    """One command: its fields are its flags."""

    def run(self) -> int | None:
        """Do the work; the exit code, None for 0."""


@dataclass(frozen=True)
class Program:
    """A program and its commands.

    Attributes:
        name: as it is typed, e.g. `python -m mmcr_dataset`.
        about: one line for `--help`.
        commands: by name, in the order of the work.
        extra: of pyproject.toml, which installs what the program imports.
        default: `module:Class` of the command that runs where no name of a command stands first.
        renamed: former names of commands, and the present ones.
    """

    name: str
    about: str
    commands: Commands
    extra: str
    default: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)


def run_program(program: Program, argv: Sequence[str] | None = None) -> int:
    """Run the command that the words name; returns the exit code.

    Args:
        program: what there is to run.
        argv: the words after the program's name; None takes those of this process.
    """
    words, level = _take_common_flags(list(sys.argv[1:] if argv is None else argv))
    if words[:1] == ["--version"]:
        print(f"mmcr {importlib.metadata.version('mmcr')}")
        return 0
    set_up_logging(level)
    name = program.name
    try:
        found = _find_command(program, words)
        if found is None:
            return 0 if words[-1:] in (["--help"], ["-h"]) else 2
        name, command, rest = found
        code = parse(command, rest, name).run() or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `... | head`: what is left to print has no reader
        _drop_output()
        return 141
    except KeyboardInterrupt:
        return _end("stopped; run the same command again to go on", 130)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in PACKAGES:
            raise
        return _end(f"{name} needs {error.name}, which is not installed: pip install 'mmcr[{program.extra}]'", 2)
    except MemoryError:
        return _end("the memory doesn't suffice; run the same command with less at once", 2)
    except (ValueError, OSError, sqlite3.Error) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            _drop_output()  # it may be what the full disk did not take
        return _end(_one_line(error), 2)


def set_up_logging(level: int) -> None:
    """Lines of our packages at or above the level go to stderr, without breaking a progress bar.

    Args:
        level: of `logging`; at WARNING progress bars are off as well.
    """
    for package in PACKAGES:
        logger = logging.getLogger(package)
        logger.handlers = [_HANDLER]
        logger.setLevel(level)
    if level >= logging.WARNING:
        os.environ["TQDM_DISABLE"] = "1"


class _BesideBars(logging.Handler):
    """Writes above a progress bar of tqdm if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """One record as one line on stderr."""
        from tqdm import tqdm

        try:
            tqdm.write(self.format(record), file=sys.stderr)
        except (OSError, ValueError):
            self.handleError(record)


class _Lines(logging.Formatter):
    """`12:34:56 text`; from a warning on with its level."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        text = super().format(record)
        mark = f"{record.levelname}: " if record.levelno >= logging.WARNING else ""
        return f"{self.formatTime(record, '%H:%M:%S')} {mark}{text}"


_HANDLER = _BesideBars()
_HANDLER.setFormatter(_Lines())


def _take_common_flags(words: list[str]) -> tuple[list[str], int]:
    """The words without -v and -q, and the level of logging that these ask for."""
    level = logging.INFO
    rest: list[str] = []
    for word in words:
        if word in ("-v", "--verbose"):
            level = logging.DEBUG
        elif word in ("-q", "--quiet"):
            level = logging.WARNING
        else:
            rest.append(word)
    return rest, level


def _find_command(program: Program, words: Sequence[str]) -> tuple[str, type[Command], list[str]] | None:
    """The command named by the first words, how it is called, and the words after it; None after a list of commands.

    Raises:
        ValueError: there is no such command; names the near ones.
    """
    name, commands, rest = program.name, program.commands, list(words)
    while True:
        first = rest[0].replace("_", "-") if rest else ""
        if first in program.renamed:
            log.warning("%s %s is now %s; the old name goes with the next version", name, first, program.renamed[first])
            first = program.renamed[first]
        entry = commands.get(first)
        if entry is None and program.default is not None and commands is program.commands:
            if commands and first in ("--help", "-h"):
                print(f"commands: {', '.join(commands)}; each with --help. Without one:\n")
            return program.name, _load(program.default), rest
        if entry is None:
            if rest and not rest[0].startswith("-"):
                raise ValueError(
                    f"no command {rest[0]!r}{near(first, list(commands))}; there are {', '.join(commands)}"
                )
            _print_commands(name, program.about, commands)
            return None
        name, rest = f"{name} {first}", rest[1:]
        if isinstance(entry, str):
            return name, _load(entry), rest
        commands = entry


def _load(place: str) -> type[Command]:
    module, _, name = place.partition(":")
    found: type[Command] = getattr(importlib.import_module(module), name)
    return found


def _print_commands(name: str, about: str, commands: Commands) -> None:
    print(f"usage: {name} COMMAND [--flag value ...]\n\n{about}\n")
    width = max(map(len, commands)) + 2
    for command, entry in commands.items():
        text = (_load(entry).__doc__ or "").strip().splitlines()[0] if isinstance(entry, str) else ", ".join(entry)
        print(f"  {command:<{width}}{text}")
    print(f"\n`{name} COMMAND --help` shows a command's flags. Every command takes {COMMON_HELP}.")


def _drop_output() -> None:
    """Discard what stdout still holds, so that closing it at exit can't fail again."""
    with contextlib.suppress(io.UnsupportedOperation):  # not a real stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _one_line(error: Exception) -> str:
    """The error with its remedy where the system's own text has none."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{text}; free some space and run the same command again: what is finished stays"
    return text


def _end(text: str, code: int) -> int:
    log.debug("%s", text, exc_info=True)
    print(f"error: {text}", file=sys.stderr)
    return code
