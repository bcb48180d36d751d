"""Show that the promises' tests can fail: break a copy of the package, and see that they do.

Each `*.patch` beside this file says what it breaks and names the test that must then fail; the same
test passes on an unbroken copy. `python run.py [NAME ...]` runs them all, or those named.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COPIED = ("fleetgen", "tests", "configs", "pyproject.toml", "generate_battery_data.py")


@dataclass(frozen=True)
class Mutation:
    """A patch, and the test that must fail under it."""

    path: Path
    words: str
    test: str

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def files(self) -> list[str]:
        return re.findall(r"^\+\+\+ b/(.+)$", self.path.read_text(), re.MULTILINE)


def read(path: Path) -> Mutation:
    head = path.read_text().partition("--- a/")[0]
    test = re.search(r"^Test: (\S+)$", head, re.MULTILINE)
    if test is None:
        raise SystemExit(f"{path.name} names no test: it wants a line `Test: tests/...`")
    return Mutation(path, head.splitlines()[0], test[1])


def copy(tree: Path) -> None:
    tree.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, tree / name)


def pytest(place: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """Run tests on the copy, with compiled code of its own."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "PYTEST_"))}
    env |= {"PYTHONPATH": str(place / "tree"), "XDG_CACHE_HOME": str(place / "cache")}
    options = ["-q", "-rfs", "-p", "no:cacheprovider", f"--basetemp={place / 'data'}"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=place / "tree",
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def caught(place: Path, mutation: Mutation) -> tuple[bool, str]:
    """Break the copy, run the test, mend the copy; says whether it failed as it should, and how."""
    tree = place / "tree"
    apply = subprocess.run(
        ["git", "apply", "-C1", str(mutation.path)],
        cwd=tree,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        if apply.returncode:
            return False, f"the patch does not apply any more: {apply.stderr.strip()}"
        run = pytest(place, mutation.test)
        if run.returncode == 0:
            return False, "the test passes all the same"
        if run.returncode != 1 or f"FAILED {mutation.test}" not in run.stdout:
            return False, f"the test broke:\n{run.stdout[-3000:]}{run.stderr[-1000:]}"
        reason = re.search(r"^E +(\S.*)$", run.stdout, re.MULTILINE)
        return True, reason[1][:110] if reason else "no assertion is shown"
    finally:
        for name in mutation.files:
            shutil.copy2(place / "whole" / name, tree / name)


def main() -> int:
    named = sys.argv[1:]
    mutations = [read(p) for p in sorted(HERE.glob("*.patch")) if not named or p.stem in named]
    if len(mutations) != (len(named) or len(mutations)) or not mutations:
        raise SystemExit(f"there are: {' '.join(sorted(p.stem for p in HERE.glob('*.patch')))}")
    with tempfile.TemporaryDirectory(prefix="fleetgen-mutations-") as directory:
        place = Path(directory)
        copy(place / "whole")
        shutil.copytree(place / "whole", place / "tree")
        begin = time.monotonic()
        run = pytest(place, *sorted({mutation.test for mutation in mutations}))
        if run.returncode or "SKIPPED" in run.stdout:
            say(f"unbroken, the tests do not pass:\n{run.stdout[-6000:]}{run.stderr[-2000:]}")
            return 1
        say(f"unbroken: {len(mutations)} mutations' tests pass ({time.monotonic() - begin:.0f} s)")
        missed = 0
        for mutation in mutations:
            begin = time.monotonic()
            failed, how = caught(place, mutation)
            missed += not failed
            seconds = time.monotonic() - begin
            verdict = "caught" if failed else "MISSED"
            say(f"{verdict}  {mutation.name}: {mutation.words} ({seconds:.0f} s)")
            say(f"        {mutation.test}\n        {how}")
    say(f"{len(mutations) - missed} of {len(mutations)} mutations caught")
    return 1 if missed else 0


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
