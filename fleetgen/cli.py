"""The command line: verbs, flags, exit codes; the only print, with `progress`."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from fleetgen import __version__
from fleetgen.errors import ConfigError, FleetgenError

BUG = 70

EXAMPLES = """\
examples:
  fleetgen generate --duration-days 2 --limit-batteries 24 --output-dir ./output/test
  fleetgen generate --config configs/production.toml --workers 8
  fleetgen generate --locations DC-PKT-01,DC-HDY-01 --sampling-seconds 60 --seed 7
  fleetgen generate --scheduler tcp://127.0.0.1:8786 --output-dir /data/fleet
"""


class _Parser(argparse.ArgumentParser):
    """Usage faults in the words and with the exit code of all configuration faults."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of exiting, so that there is one way out."""
        what, colon, words = message.partition("unrecognized arguments: ")
        if colon and not what:  # a value among them may be a secret
            flags = [word.partition("=")[0] for word in words.split() if word.startswith("-")]
            message = " ".join([message.removesuffix(words).rstrip(), *(flags or ["..."])])
        raise ConfigError(f"{message}; see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """The command line's grammar; values are checked by `config.load`, all at once."""
    top = _Parser(
        prog="fleetgen",
        description="Synthetic telemetry of a stationary battery fleet.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"fleetgen {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    make = verbs.add_parser(
        "generate",
        help="make a data set, or finish one that was interrupted",
        description="Make a data set, or finish one that was interrupted.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    flags: tuple[tuple[str, str, str], ...] = (
        ("--duration-days", "DAYS", "length of the run (default 7)"),
        ("--sampling-seconds", "S", "whole seconds between samples (default 300)"),
        ("--seed", "N", "what all random numbers follow from (default 42)"),
        ("--start-date", "YYYY-MM-DD", "first local day (default 2025-01-01)"),
        ("--output-dir", "DIR", "a directory or s3://bucket/prefix (default ./output)"),
        ("--limit-batteries", "N", "write the first N batteries only"),
        ("--locations", "A,B", "write these locations only"),
        ("--strings", "A,B", "write these strings only"),
        ("--format", "FORMAT", "parquet (default), csv.gz, or none: all but the writing"),
        ("--workers", "N", "processes or threads (default: one per core)"),
        (
            "--executor",
            "WHERE",
            "serial, threads, local or scheduler (default: local Dask cluster; serial if small)",
        ),
        ("--scheduler", "ADDRESS", "address of a running Dask scheduler"),
        ("--scheduler-file", "FILE", "file that names a running Dask scheduler"),
    )
    for name, metavar, text in flags:
        make.add_argument(name, metavar=metavar, help=text)
    make.add_argument(
        "--storage-option",
        metavar="NAME=VALUE",
        action="append",
        help="of s3://, for instance endpoint_url=http://127.0.0.1:8333; repeatable; no secrets",
    )
    make.add_argument("--config", metavar="FILE", help="configuration, TOML or YAML")
    make.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="set one key, for instance run.seed=7; repeatable",
    )
    make.add_argument(
        "--progress",
        choices=("auto", "plain", "json", "none"),
        default="auto",
        help="how to show progress (default: a bar on a terminal, else lines)",
    )
    _add_export(verbs)
    return top


def _add_export(verbs: Any) -> None:
    text = "join the parts of a finished data set to one file for each table"
    single = verbs.add_parser("export", help=text, description=f"{text.capitalize()}.")
    single.add_argument("url", metavar="URL", help="where the data set lies")
    single.add_argument(
        "--single-file",
        metavar="FORM",
        choices=("csv.gz", "csv"),
        required=True,
        help="csv.gz, or csv: plain text, about 64 bytes a row",
    )
    single.add_argument(
        "--table",
        metavar="TABLE",
        action="append",
        default=[],
        help="a table; repeatable (default: telemetry_jar_raw and telemetry_jar_calc)",
    )
    single.add_argument("--output-dir", metavar="DIR", help="where the files go (default: URL)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    try:
        options = vars(parser().parse_args(arguments))
        return _VERBS[options.pop("verb")](options)
    except FleetgenError as error:
        print(_told(error), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # whoever reads has had enough
        sys.stdout = None
        return 0
    except KeyboardInterrupt as error:
        return 128 + int(getattr(error, "signum", 2))
    except Exception:
        traceback.print_exc()
        print(
            "fleetgen: this is a bug of fleetgen; please report it with the lines above.",
            file=sys.stderr,
        )
        return BUG


def _told(error: FleetgenError) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return "\n".join([f"fleetgen: {lines[0]}", *(f"  {line.strip()}" for line in lines[1:])])


def _generate(options: dict[str, Any]) -> int:
    from fleetgen.config import load

    style, file = options.pop("progress"), options.pop("config")
    overrides = options.pop("overrides")
    config = load(file, overrides, options)
    if config.output.directory.startswith("memory:"):
        raise ConfigError(
            f"--output-dir {config.output.directory!r}: the memory of a command ends with it; give "
            "a directory (memory:// is for fleetgen.generate in Python)"
        )

    from fleetgen.pipeline import Progress, generate, safe_parts
    from fleetgen.progress import reporter

    tell, close = reporter(style)
    last: list[Progress] = []

    def notify(now: Progress) -> None:
        last[:] = [now]
        tell(now)

    try:
        generate(config, notify)
    except KeyboardInterrupt:
        safe = f"{safe_parts(last[0])} of {len(last[0].plan.parts)} parts safe" if last else "early"
        print(f"fleetgen: interrupted; {safe}; resume with the same command", file=sys.stderr)
        raise
    finally:
        close()
    if style != "none" and config.output.format != "none":
        print(f"data set in {config.output.directory}; see DATA_GENERATION_REPORT.md there")
    return 0


def _export(options: dict[str, Any]) -> int:
    from fleetgen.export import export

    wanted = options["single_file"], options["table"], options["output_dir"]
    for file in export(options["url"], *wanted):
        place = options["output_dir"] or options["url"]
        print(f"{file.name} in {place}: {file.rows:,} rows, {file.bytes / 1e6:,.1f} MB")
    return 0


_VERBS: dict[str, Callable[[dict[str, Any]], int]] = {"generate": _generate, "export": _export}
