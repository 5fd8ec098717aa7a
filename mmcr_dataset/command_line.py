"""Entry point of every program: command dispatch, logging set-up, errors as one line with an exit code.

A command is a dataclass: its fields are its flags, its docstring is their help (parsed by tyro), and `run` does the
work. Results go to stdout, log messages to stderr. Exit codes: 0 success, 1 a check failed or nothing has a score,
2 invalid input or unusable file, 130 Ctrl-C, 141 broken pipe.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import logging
import os
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mmcr_dataset.command_flags import COMMON_HELP, parse, suggest
from mmcr_dataset.record.plain_output import PlainOutput, visible

PACKAGES = ("mmcr_dataset", "mmcr_bench", "training", "eval_tasks", "experiments")
log = logging.getLogger(__name__)
Commands = Mapping[str, "str | Commands"]  # name -> `module:Class`, or its subcommands


class Command(Protocol):
    """One command: its fields are its flags."""

    def run(self) -> int | None:
        """Run the command; returns the exit code, None for 0."""


@dataclass(frozen=True)
class Program:
    """A program and its commands.

    Attributes:
        name: as it is typed, e.g. `python -m mmcr_dataset`.
        about: one line for `--help`.
        commands: by name, in the order of `--help`.
        extra: the extra of pyproject.toml with the program's dependencies.
        default: `module:Class` of the command to run if the first argument is not a command.
        renamed: old command name -> new name.
    """

    name: str
    about: str
    commands: Commands
    extra: str
    default: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)


def run_program(program: Program, argv: Sequence[str] | None = None) -> int:
    """Run the command named by the arguments; returns the exit code.

    Args:
        program: the program and its commands.
        argv: the arguments; None for those of this process.
    """
    words, level = _take_common_flags(list(sys.argv[1:] if argv is None else argv))
    if words[:1] == ["--version"]:
        print(f"mmcr {importlib.import_module(PACKAGES[0]).__version__}")
        return 0
    set_up_logging(level)
    name = program.name
    try:
        found = _find_command(program, words)
        if found is None:
            return 0 if words[-1:] in (["--help"], ["-h"]) else 2
        name, command, rest = found
        ready = parse(command, rest, name)
        with contextlib.redirect_stdout(PlainOutput(sys.stdout)):
            code = ready.run() or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `... | head`
        _drop_output()
        return 141
    except KeyboardInterrupt:
        return _end("stopped; run the same command again to resume", 130)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in PACKAGES:
            raise
        return _end(f"{name} needs {error.name}, which is not installed: pip install -e '.[{program.extra}]'", 2)
    except RecursionError:
        return _end("a file or an answer is nested too deeply to be read", 2)
    except MemoryError:
        return _end("out of memory; run the command with a smaller batch size or max concurrency", 2)
    except (ValueError, OSError, sqlite3.Error) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            _drop_output()  # it may be what the full disk did not take
        return _end(_one_line(error), 2)


def set_up_logging(level: int) -> None:
    """Log messages of our packages to stderr, without breaking progress bars.

    Args:
        level: minimum level of `logging`; from WARNING on progress bars are off too.
    """
    for package in PACKAGES:
        logger = logging.getLogger(package)
        logger.handlers = [_HANDLER]
        logger.setLevel(level)
    if level >= logging.WARNING:
        os.environ["TQDM_DISABLE"] = "1"


class _BesideBars(logging.Handler):
    """Writes through tqdm, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record to stderr."""
        from tqdm import tqdm

        try:
            tqdm.write(self.format(record), file=sys.stderr)
        except (OSError, ValueError):
            self.handleError(record)


class _Lines(logging.Formatter):
    """`12:34:56 text`, with the level from WARNING on."""

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record."""
        text = visible(super().format(record))
        mark = f"{record.levelname}: " if record.levelno >= logging.WARNING else ""
        return f"{self.formatTime(record, '%H:%M:%S')} {mark}{text}"


_HANDLER = _BesideBars()
_HANDLER.setFormatter(_Lines())


def _take_common_flags(words: list[str]) -> tuple[list[str], int]:
    """The arguments without -v and -q, and the log level that these select."""
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
    """Full name, class and remaining arguments of the chosen command; None after printing the list of commands.

    Raises:
        ValueError: there is no such command; the message suggests similar names.
    """
    name, commands, rest = program.name, program.commands, list(words)
    while True:
        first = rest[0].replace("_", "-") if rest else ""
        if first in program.renamed:
            log.warning(
                "%s %s is now %s; the old name will be removed in the next version", name, first, program.renamed[first]
            )
            first = program.renamed[first]
        entry = commands.get(first)
        if entry is None and program.default is not None and commands is program.commands:
            if commands and first in ("--help", "-h"):
                print(f"commands: {', '.join(commands)}; each with --help. Without one:\n")
            return program.name, _load(program.default), rest
        if entry is None:
            if rest and not rest[0].startswith("-"):
                raise ValueError(
                    f"no command {rest[0]!r}{suggest(first, list(commands))}; expected one of {', '.join(commands)}"
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
    """The error's message on one line, with a remedy for a full disk."""
    text = visible(" ".join(str(error).split())) or type(error).__name__
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{text}; free some space and run the same command again: finished work is kept"
    return text


def _end(text: str, code: int) -> int:
    log.debug("%s", text, exc_info=True)
    print(f"error: {text}", file=sys.stderr)
    return code
