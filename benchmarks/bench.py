"""What all measurements share: where they write, how large they are, the production data set."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import command
from benchmarks.command import Flags, Observed, Size, Watched


@dataclass
class Bench:
    """One call of the benchmarks; `quick` makes everything tiny, to see that it works."""

    quick: bool
    scratch: Path
    _production: Observed | None = field(default=None, init=False)

    def size(self, full: Size) -> Size:
        """A size as it is, or tiny."""
        if self.quick:
            return Size(min(full.locations, 2), min(full.days, 1), 300, one_string=True)
        return full

    @property
    def on_workers(self) -> Flags:
        """Flags for two local Dask workers; for a quick run threads, which start at once."""
        return {"workers": 2, "executor": "threads" if self.quick else "local"}

    def directory(self) -> Path:
        """A new empty directory on the disk of the benchmarks."""
        return Path(tempfile.mkdtemp(dir=self.scratch))

    def generate(
        self,
        flags: Flags,
        *,
        watched: Watched = "",
        environment: dict[str, str] | None = None,
        look: Callable[[Path], object] = lambda _: None,
    ) -> Observed:
        """Run `fleetgen generate` into a directory that is gone afterwards; `look` sees it."""
        out = self.directory()
        try:
            observed = command.run(
                {**flags, "output_dir": out}, watched=watched, environment=environment
            )
            look(out)
        finally:
            shutil.rmtree(out)
        return observed

    @property
    def production_flags(self) -> Flags:
        """Flags of the production run."""
        tiny = self.size(Size(9, 90)).flags() if self.quick else {}
        return {"config": "configs/production.toml", **tiny, **self.on_workers}

    def production_set(self) -> tuple[Path, Observed]:
        """The production data set, and the run that made it, made once per call."""
        out = self.scratch / "production"
        if self._production is None:
            self._production = command.run(
                {**self.production_flags, "output_dir": out}, watched="time"
            )
        return out, self._production
