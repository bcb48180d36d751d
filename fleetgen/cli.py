"""The command line: verbs, flags, exit codes; the only print, with `progress`."""

from __future__ import annotations

import argparse
import gc
import json
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn

from fleetgen import __version__
from fleetgen.errors import ConfigError, FleetgenError, StorageError
from fleetgen.wording import many, size

if TYPE_CHECKING:
    from fleetgen.config import RunConfig
    from fleetgen.pipeline import Notify, Progress

BUG = 70

OLDEST, NEWEST = (3, 11), (3, 13)
"""Versions of Python under which fleetgen is tested."""

_UNKNOWN = "unrecognized arguments: "
_CHOICE = re.compile(r"invalid choice: '(.*)' \(choose from (.*)\)")

EXAMPLES = """\
examples:
  fleetgen generate --duration-days 2 --limit-batteries 24 --output-dir ./output/test
  fleetgen generate --config configs/production.toml --workers 8
  fleetgen generate --locations DC-PKT-01,DC-HDY-01 --sampling-seconds 60 --seed 7
  fleetgen generate --scheduler tcp://127.0.0.1:8786 --output-dir /data/fleet
"""


class _Parser(argparse.ArgumentParser):
    """Usage faults in the words and with the exit code of all configuration faults."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse what is unknown at once: a verb's parser knows what may have been meant."""
        words = sys.argv[1:] if args is None else args
        self._secretive = any(word.startswith("--storage-option") for word in words)
        known, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"{_UNKNOWN}{' '.join(rest)}")
        return known, rest

    def _meant(self, flag: str) -> list[str]:
        """Flag that ends as this one, or else looks like it."""
        known = self._option_string_actions
        ending = [name for name in known if name.endswith(f"-{flag.lstrip('-')}")]
        return ending[:1] or get_close_matches(flag, known, 1)

    def _taken(self) -> str:
        """Say which words belong there without a flag."""
        takes = [a.metavar or a.dest for a in self._actions if not a.option_strings]
        if takes:
            return f"one word too many; {self.prog} takes {' '.join(map(str, takes))} and flags"
        ids = "; give ids behind --locations or --strings, and a place behind --output-dir"
        told = f"a word without its flag; {self.prog} takes flags alone"
        return told + ids * ("--locations" in self._option_string_actions)

    def error(self, message: str) -> NoReturn:
        """Raise instead of exiting, so that there is one way out."""
        what, colon, words = message.partition(_UNKNOWN)
        if colon and not what:  # a value among them may be a secret
            flags = [word.partition("=")[0] for word in words.split() if word.startswith("-")]
            message = _UNKNOWN + " ".join(flags)
            if not flags:
                # What was meant as an option's value may be a key.
                shown = "(not shown)" if self._secretive else _shown(words)
                message = f"{shown}: {self._taken()}"
            if close := [meant for flag in flags for meant in self._meant(flag)]:
                message += f"; did you mean {' '.join(close)}?"
        if wrong := _CHOICE.search(message):
            choices = [text.strip("' ") for text in wrong[2].split(",")]
            if near := get_close_matches(wrong[1], choices, 1):
                message += f"; did you mean {near[0]}?"
        raise ConfigError(f"{message}; see {self.prog} --help")


def _shown(words: str) -> str:
    """The first of some words of the command line, unless it is or holds a secret."""
    from fleetgen.places import holds_login, names_secret

    word = words.split()[0]
    hidden = "=" in word or names_secret(word) or holds_login(word)
    return "(not shown)" if hidden else repr(word[:60])


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
    _add_run(make)
    _add_progress(make)
    _add_finish(verbs)
    _add_estimate(verbs)
    _add_validate(verbs)
    _add_verify(verbs)
    _add_report(verbs)
    _add_clean(verbs)
    _add_export(verbs)
    _add_schema(verbs)
    _add_config(verbs)
    _add_completion(verbs)
    _add_doctor(verbs)
    return top


def _add_run(make: argparse.ArgumentParser) -> None:
    """Flags that say what is made, and where and on what."""
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
        ("--performance-report", "FILE", "Dask's own account of the run, an HTML page"),
        ("--parts", "N", "with --part: make one of N shares, and leave the rest to other jobs"),
        ("--part", "I", "which share, from 1 to N; `fleetgen finish` closes the data set"),
    )
    for name, metavar, text in flags:
        make.add_argument(name, metavar=metavar, help=text)
    _add_storage(make)
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
        "--from",
        metavar="MANIFEST",
        dest="source",
        help="make the data set of this manifest.json, run.json or directory again",
    )


def _add_storage(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--storage-option",
        metavar="NAME=VALUE",
        action="append",
        help="of s3://, for instance endpoint_url=http://127.0.0.1:8333; repeatable; no secrets",
    )


def _add_progress(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--progress",
        choices=("auto", "plain", "json", "none"),
        default="auto",
        help="how to show progress (default: a bar on a terminal, else lines)",
    )


def _add_finish(verbs: Any) -> None:
    close = verbs.add_parser(
        "finish",
        help="close a data set whose parts were made by jobs with --parts",
        description="Make what closes a data set: derived tables, report, manifest.",
        allow_abbrev=False,
    )
    close.add_argument("url", metavar="URL", help="where the data set lies")
    close.add_argument("--workers", metavar="N", help="processes (default: one per core)")
    _add_storage(close)
    _add_progress(close)


def _add_estimate(verbs: Any) -> None:
    text = "say what a run would take: rows, files, bytes, requests, minutes, memory"
    guess = verbs.add_parser(
        "estimate",
        help=text,
        description=f"{text.capitalize()}. Takes the flags of generate, computes for 2 s, and "
        "writes nothing.",
        allow_abbrev=False,
    )
    _add_run(guess)
    guess.add_argument("--json", action="store_true", help="as one JSON object")


def _add_validate(verbs: Any) -> None:
    look = verbs.add_parser(
        "validate",
        help="check that the values of a data set are sound",
        description="Hold the values of a data set against the usage guide's checklist, physics "
        "and the promises; exit code 1 if one of the checks falls short.",
        allow_abbrev=False,
    )
    look.add_argument("url", metavar="URL", help="where the data set lies")
    look.add_argument("--json", metavar="FILE", help="write all checks there, with their queries")
    look.add_argument("--workers", metavar="N", help="processes (default: one per core)")
    _add_storage(look)
    _add_progress(look)


def _add_verify(verbs: Any) -> None:
    look = verbs.add_parser(
        "verify",
        help="look at every file of a data set; make again what is damaged",
        description="Hold every file of a data set against its digest, and repair it.",
        allow_abbrev=False,
    )
    look.add_argument("url", metavar="URL", help="where the data set lies")
    look.add_argument(
        "--values",
        metavar="AMOUNT",
        default="1%",
        help="of how many files the values are read back: 1%% (default), a number, or all",
    )
    look.add_argument(
        "--rederive",
        metavar="AMOUNT",
        help="make so many parts again from the plan, and compare: 1%%, a number, or all",
    )
    look.add_argument(
        "--repair", action="store_true", help="make bad and missing files again, and no others"
    )
    look.add_argument("--workers", metavar="N", help="threads or processes (default: one per core)")
    _add_storage(look)
    _add_progress(look)


def _add_report(verbs: Any) -> None:
    text = "make DATA_GENERATION_REPORT.md and report.html of a data set again"
    again = verbs.add_parser(
        "report", help=text, description=f"{text.capitalize()}.", allow_abbrev=False
    )
    again.add_argument("url", metavar="URL", help="where the data set lies")
    _add_storage(again)


def _add_clean(verbs: Any) -> None:
    sweep = verbs.add_parser(
        "clean",
        help="remove what a killed run has left, or a whole data set",
        description="Remove temporary files, stale uploads and files that belong to no part.",
        allow_abbrev=False,
    )
    sweep.add_argument("url", metavar="URL", help="where the data set lies")
    sweep.add_argument(
        "--older-than",
        metavar="HOURS",
        default="24",
        help="leave younger temporary files and uploads alone (default 24)",
    )
    sweep.add_argument("--all", action="store_true", help="remove the data set")
    sweep.add_argument(
        "--dry-run", action="store_true", help="remove nothing, and say what would be"
    )
    _add_storage(sweep)


def _add_export(verbs: Any) -> None:
    text = "join the parts of a finished data set to one file for each table"
    single = verbs.add_parser(
        "export", help=text, description=f"{text.capitalize()}.", allow_abbrev=False
    )
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
    _add_storage(single)


def _add_schema(verbs: Any) -> None:
    text = "tell what tables and columns there are"
    look = verbs.add_parser(
        "schema", help=text, description=f"{text.capitalize()}.", allow_abbrev=False
    )
    look.add_argument(
        "table", metavar="TABLE", nargs="?", help="tell its columns (default: all tables, in short)"
    )
    look.add_argument("--json", action="store_true", help="everything, for programs")


def _add_config(verbs: Any) -> None:
    text = "show or check a configuration, or write its JSON Schema"
    config = verbs.add_parser(
        "config", help=text, description=f"{text.capitalize()}.", allow_abbrev=False
    )
    what = config.add_subparsers(dest="what", metavar="WHAT", required=True, parser_class=_Parser)
    show = what.add_parser(
        "show",
        help="every key with its value, and what is allowed",
        description="Print the configuration in effect as TOML, defaults included.",
        allow_abbrev=False,
    )
    show.add_argument("file", metavar="FILE", nargs="?", help="configuration, TOML or YAML")
    check = what.add_parser(
        "check",
        help="say ok, or all that is wrong",
        description="Check configurations, and make nothing.",
        allow_abbrev=False,
    )
    check.add_argument("file", metavar="FILE", nargs="+", help="configuration, TOML or YAML")
    for verb in (show, check):
        verb.add_argument(
            "--set",
            metavar="KEY=VALUE",
            action="append",
            default=[],
            dest="overrides",
            help="set one key, for instance run.seed=7; repeatable",
        )
    text = "write the JSON Schema of a configuration, for editors"
    what.add_parser("schema", help=text, description=f"{text.capitalize()}.", allow_abbrev=False)


def _add_completion(verbs: Any) -> None:
    text = "write what makes a shell complete verbs and flags"
    shell = verbs.add_parser(
        "completion",
        help=text,
        description=f"{text.capitalize()}.",
        epilog='bash: eval "$(fleetgen completion bash)" in ~/.bashrc; zsh: the same in ~/.zshrc, '
        "after compinit; fish: fleetgen completion fish > "
        "~/.config/fish/completions/fleetgen.fish",
        allow_abbrev=False,
    )
    shell.add_argument("shell", choices=("bash", "zsh", "fish"))


def _add_doctor(verbs: Any) -> None:
    look = verbs.add_parser(
        "doctor",
        help="look at this machine, an output's storage and a scheduler's workers",
        description="Say of each thing that a run needs whether it is well, and what to do if not.",
        allow_abbrev=False,
    )
    look.add_argument("--output-dir", metavar="DIR", help="where a data set is to lie")
    look.add_argument("--scheduler", metavar="ADDRESS", help="address of a running Dask scheduler")
    look.add_argument(
        "--scheduler-file", metavar="FILE", help="file that names a running Dask scheduler"
    )
    _add_storage(look)


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line as a process of its own."""
    code = main(arguments)
    gc.freeze()  # it all goes with the process: to collect it first takes half a second
    sys.exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    verb = ""
    try:
        _check_python(sys.version_info[:2])
        options = vars(parser().parse_args(arguments))
        verb = options.pop("verb")
        from fleetgen.execute import Signals

        with Signals():
            return _VERBS[verb](options)
    except FleetgenError as error:
        print(_told(error), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # whoever reads has had enough
        sys.stdout = None
        return 0
    except KeyboardInterrupt as error:
        if verb != "generate":  # which has said more
            print("fleetgen: interrupted; run the same command again", file=sys.stderr)
        return 128 + int(getattr(error, "signum", 2))
    except Exception:
        traceback.print_exc()
        print(
            "fleetgen: this is a bug of fleetgen; please report it with the lines above.",
            file=sys.stderr,
        )
        return BUG


def _check_python(version: tuple[int, int]) -> None:
    """Refuse a Python too old to run what follows."""
    if version < OLDEST:
        here, oldest, newest = (".".join(map(str, each)) for each in (version, OLDEST, NEWEST))
        raise ConfigError(
            f"this is Python {here} ({sys.executable}), and fleetgen needs {oldest} to {newest}; "
            f"make an environment with one: python{newest} -m venv .venv"
        )


def _told(error: FleetgenError) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return "\n".join([f"fleetgen: {lines[0]}", *(f"  {line.strip()}" for line in lines[1:])])


def _generate(options: dict[str, Any]) -> int:
    style = options.pop("progress")
    config = _configured(options)
    if config.output.directory.startswith("memory:"):
        raise ConfigError(
            f"--output-dir {config.output.directory!r}: the memory of a command ends with it; give "
            "a directory (memory:// is for fleetgen.generate in Python)"
        )

    from fleetgen.pipeline import generate

    last = _reported(style, lambda notify: generate(config, notify))
    if style != "none" and config.output.format != "none" and last.stage == "complete":
        _told_place(config.output.directory, last)
    return 0


def _finish(options: dict[str, Any]) -> int:
    from fleetgen.pipeline import finish

    def run(notify: Notify) -> Progress:
        return finish(
            options["url"],
            workers=_whole("--workers", options["workers"]),
            storage_options=options["storage_option"] or (),
            notify=notify,
        )

    last = _reported(options["progress"], run)
    if options["progress"] != "none":
        _told_place(options["url"], last)
    return 0


def _told_place(url: str, last: Progress) -> None:
    print(f"data set in {url}: {size(last.data_bytes)} of data; open report.html there")


def _reported(style: str, run: Callable[[Notify], Progress]) -> Progress:
    """Show a run's progress; an interruption ends it in one line."""
    from fleetgen.pipeline import safe_parts
    from fleetgen.progress import reporter

    tell, close = reporter(style)
    last: list[Progress] = []

    def notify(now: Progress) -> None:
        last[:] = [now]
        tell(now)

    try:
        return run(notify)
    except KeyboardInterrupt:
        parts = many(len(last[0].plan.parts), "part") if last else ""
        safe = f"{safe_parts(last[0])} of {parts} safe" if last else "early"
        print(f"fleetgen: interrupted; {safe}; resume with the same command", file=sys.stderr)
        raise
    finally:
        close()


def _export(options: dict[str, Any]) -> int:
    from fleetgen.export import export

    wanted = options["single_file"], options["table"], options["output_dir"]
    for file in export(options["url"], *wanted, options["storage_option"] or ()):
        place = options["output_dir"] or options["url"]
        print(f"{file.name} in {place}: {many(file.rows, 'row')}, {file.bytes / 1e6:,.1f} MB")
    return 0


def _configured(options: dict[str, Any], *, to_be_made: bool = True) -> RunConfig:
    """Configuration of a file and flags, or of a data set that is to be made again."""
    file, source, overrides = (options.pop(name) for name in ("config", "source", "overrides"))
    if source is None:
        from fleetgen.config import load

        return load(file, overrides, options)
    if file is not None:
        raise ConfigError(f"--config {file!r}: the plan is that of --from; leave one of them out")
    elsewhere = options["output_dir"] or any(o.startswith("output.directory=") for o in overrides)
    if to_be_made and not elsewhere:
        raise ConfigError(f"--from {source!r:.80}: give --output-dir, where it is to be made again")
    from fleetgen.pipeline import repeated

    return repeated(source, options, overrides)


def _verify(options: dict[str, Any]) -> int:
    from fleetgen.progress import counter
    from fleetgen.verify import verify

    tell = counter(options["progress"])
    found = verify(
        options["url"],
        values=options["values"],
        rederive=options["rederive"],
        repair=options["repair"],
        workers=_whole("--workers", options["workers"]),
        storage_options=options["storage_option"] or (),
        notify=tell,
    )
    print("\n".join(found.lines()))
    return 1 if found.bad else 0


def _report(options: dict[str, Any]) -> int:
    from fleetgen.pipeline import report

    report(options["url"], storage_options=options["storage_option"] or ())
    print(f"DATA_GENERATION_REPORT.md and report.html in {options['url']}")
    return 0


def _estimate(options: dict[str, Any]) -> int:
    as_json = options.pop("json")
    config = _configured(options, to_be_made=False)

    from fleetgen.calibrate import estimated

    told = estimated(config, lambda line: print(line, file=sys.stderr))
    print(json.dumps(told.as_json(), indent=1) if as_json else "\n".join(told.lines()))
    return 0


def _validate(options: dict[str, Any]) -> int:
    from fleetgen import validate
    from fleetgen.progress import counter

    found = validate.run(
        options["url"],
        workers=_whole("--workers", options["workers"]),
        storage_options=options["storage_option"] or (),
        notify=counter(options["progress"]),
    )
    print("\n".join(validate.lines(found, options["url"])))
    if options["json"]:
        _write_json(options["json"], [each.as_json() for each in found])
    return 1 if any(each.ok is False for each in found) else 0


def _write_json(path: str, value: Any) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{json.dumps(value, indent=1, allow_nan=False)}\n")
    except OSError as error:
        raise StorageError(
            f"--json {path!r}: {error.strerror or error}; give a file that can be written"
        ) from error


def _clean(options: dict[str, Any]) -> int:
    from fleetgen.cleaning import clean

    try:
        hours = float(options["older_than"])
    except ValueError:
        raise ConfigError(
            f"--older-than = {options['older_than']!r}: must be a number of hours"
        ) from None
    done = clean(
        options["url"],
        older_than_hours=hours,
        everything=options["all"],
        dry_run=options["dry_run"],
        storage_options=options["storage_option"] or (),
    )
    print("\n".join(done.lines()))
    return 0


def _schema(options: dict[str, Any]) -> int:
    from fleetgen import dictionary

    tables = dictionary.chosen(options["table"])
    if options["json"]:
        print(json.dumps(dictionary.as_json(tables), indent=2))
    elif options["table"] is None:
        print(dictionary.overview(tables))
    else:
        print(dictionary.page(tables[0]))
    return 0


def _config(options: dict[str, Any]) -> int:
    if options["what"] == "check":
        return _check_configs(options["file"], options["overrides"])
    from fleetgen.config import show

    if options["what"] == "schema":
        print(json.dumps(show.json_schema(), indent=2))
    else:
        print(show.effective(options["file"], options["overrides"]), end="")
    return 0


def _check_configs(files: Sequence[str], overrides: Sequence[str]) -> int:
    """Say of each file that it is right and what it makes, or raise all faults of all files."""
    from fleetgen.config import load

    faults = []
    for file in files:
        try:
            config = load(file, overrides)
        except ConfigError as error:
            faults.append(f"{file}: {error}" if len(files) > 1 else f"{error}")
            continue
        jars = sum(map(len, config.selected(config.to_fleet()).values()))
        run = config.run
        print(
            f"{file}: ok; {many(jars, 'battery', 'batteries')}, "
            f"{many(run.duration_days, 'day')} from {run.start_date}, "
            f"a sample every {run.sampling_seconds} s"
        )
        for caution in config.cautions():
            print(f"  caution: {caution}")
    if faults:
        raise ConfigError("\n".join(faults))
    return 0


def _completion(options: dict[str, Any]) -> int:
    import shtab

    print(shtab.complete(parser(), options["shell"]))
    return 0


def _doctor(options: dict[str, Any]) -> int:
    from fleetgen.doctor import examine

    if options["scheduler"] and options["scheduler_file"]:
        raise ConfigError("--scheduler and --scheduler-file: both name a scheduler; keep one")
    failed = False
    for found in examine(
        options["output_dir"],
        options["storage_option"] or (),
        options["scheduler"],
        options["scheduler_file"],
    ):
        print(found.line(), flush=True)
        failed = failed or found.level == "fail"
    return 1 if failed else 0


def _whole(flag: str, text: str | None) -> int | None:
    """Read a flag's whole number above 0."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 4096):
        raise ConfigError(f"{flag} = {text!r:.40}: must be a whole number from 1 to 4096")
    return int(text)


_VERBS: dict[str, Callable[[dict[str, Any]], int]] = {
    "generate": _generate,
    "finish": _finish,
    "export": _export,
    "estimate": _estimate,
    "validate": _validate,
    "verify": _verify,
    "report": _report,
    "clean": _clean,
    "schema": _schema,
    "config": _config,
    "completion": _completion,
    "doctor": _doctor,
}
