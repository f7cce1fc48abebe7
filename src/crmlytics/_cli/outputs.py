"""The folder of results: checked before any work, filled all or nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crmlytics.exceptions import CrmlyticsError

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = {
    "report.html": "the page to read: open this first",
    "scorecard.xlsx": "one row per customer, for Excel",
    "scorecard.csv": "the same rows, for any spreadsheet",
    "scorecard.parquet": "the same rows, for programs",
    "guide.csv": "what each column means, and how sure it is",
    "evaluation.csv": "how such scores did on the past",
    "audit.csv": "which lines were kept or set aside, and why",
}


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """A folder that gets all of the results or none.

    Parameters
    ----------
    path : Path
        It need not be there.
    force : bool
        Whether results that are there may be replaced; other files stay in any case.
    """

    path: Path
    force: bool

    def check(self, *, reads: Path | None = None) -> None:
        """Refuse now what would fail, or overwrite something, after minutes of work."""
        base = _existing(self.path)
        if not base.is_dir():
            raise CrmlyticsError(f"--out {self.path}: {str(base)!r} is a file, not a folder; give another name.")
        there = [name for name in FILES if os.path.lexists(self.path / name)]
        if there and not self.force:
            raise CrmlyticsError(
                f"--out {self.path}: the folder has results already ({', '.join(there)}). "
                "Add --force to replace them, or --out with another folder."
            )
        for name in there:
            if (self.path / name).is_dir():
                raise CrmlyticsError(f"--out {self.path}: {name!r} in it is a folder; remove it or give another --out.")
            if (
                reads is not None
                and reads.exists()
                and (self.path / name).exists()
                and reads.samefile(self.path / name)
            ):
                raise CrmlyticsError(f"--out {self.path}: {name!r} in it is the file to be read; give another --out.")

    @contextlib.contextmanager
    def filled(self) -> Iterator[Path]:
        """Give an empty folder to write to; its files take their place together at the end, or disappear."""
        staging = self._make_staging()
        try:
            yield staging
            self._publish(staging)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _make_staging(self) -> Path:
        """Make a hidden folder on the same disk: inside the results' folder, or beside where that will be."""
        base = _existing(self.path)
        try:
            return Path(tempfile.mkdtemp(dir=base, prefix=".crmlytics-"))
        except OSError as error:
            raise CrmlyticsError(f"--out {self.path}: {str(base)!r} can't be written ({error.strerror}).") from error

    def _publish(self, staging: Path) -> None:
        try:
            if self.path.exists():
                _exchange(staging, self.path)
            else:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                mask = os.umask(0)
                os.umask(mask)
                staging.chmod(0o777 & ~mask)
                staging.rename(self.path)
        except OSError as error:
            raise CrmlyticsError(
                f"--out {self.path}: the results could not be put in place ({error.strerror}: {error.filename!r}); "
                "what was there is unchanged. Is one of the files open in another program?"
            ) from error


def _existing(path: Path) -> Path:
    """Return the path, or the nearest folder above it that is there."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if os.path.lexists(place))


def _exchange(staging: Path, folder: Path) -> None:
    """Take the old results out and put the new ones in; if anything fails, all is as it was."""
    new = [file.name for file in staging.iterdir()]
    aside = Path(tempfile.mkdtemp(dir=staging))
    saved: list[str] = []
    placed: list[str] = []
    try:
        for name in FILES:  # all of them: a result of an older run beside new ones would mislead
            if os.path.lexists(folder / name):
                (folder / name).replace(aside / name)
                saved.append(name)
        for name in new:
            (staging / name).replace(folder / name)
            placed.append(name)
    except BaseException:
        for name in placed:
            (folder / name).unlink(missing_ok=True)
        for name in saved:
            (aside / name).replace(folder / name)
        raise
