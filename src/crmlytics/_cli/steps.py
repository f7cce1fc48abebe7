"""Say what is being done and how long it took, in short lines on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any, TextIO

from crmlytics._cli.messages import as_typed
from crmlytics.exceptions import DataQualityWarning

if TYPE_CHECKING:
    from collections.abc import Iterator


def say(text: str, stream: TextIO) -> None:
    """Write to a stream whatever its encoding: a character that a terminal lacks is no reason to fail."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, errors="replace").decode(encoding))
    stream.flush()


class Step:
    """One step; ``result`` is what its line says at the end."""

    def __init__(self) -> None:
        self.result = ""


class Steps:
    """The lines on stderr.

    Parameters
    ----------
    quiet : bool
        Whether steps are left out; notes about the data are always shown.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self._notes: list[str] = []
        self._in_step = self._in_line = False

    @contextlib.contextmanager
    def step(self, doing: str) -> Iterator[Step]:
        """Time what is done inside, and end its line with ``result``; notes come below it."""
        began, step = time.perf_counter(), Step()
        self._in_step = True
        self._write(f"{doing} ... ", ends_line=False)
        yield step
        self._write(f"{step.result or 'done'} ({time.perf_counter() - began:.1f} s)\n", ends_line=True)
        self._show_notes()

    def note(self, text: str) -> None:
        """Say something worth knowing, after the line of the step."""
        text = as_typed(text)
        if text not in self._notes:
            self._notes.append(text)
        if not self._in_step:
            self._show_notes()

    def remark(self, text: str) -> None:
        """Note what is no fault of the data, unless asked to be quiet."""
        if not self.quiet:
            self.note(text)

    def end_line(self) -> None:
        """Leave the line of a step that did not come to its end, and show what it had to say."""
        if self._in_line:
            self._write("\n", ends_line=True)
        self._show_notes()

    @contextlib.contextmanager
    def notes_from_warnings(self) -> Iterator[None]:
        """Turn every warning given inside into a note."""
        with warnings.catch_warnings():
            warnings.simplefilter("always", DataQualityWarning)
            warnings.showwarning = self._show_warning
            yield

    def _show_warning(self, message: Warning | str, *_: Any, **__: Any) -> None:
        self.note(str(message))

    def _show_notes(self) -> None:
        self._in_step = False
        for note in self._notes:
            say(f"  note: {note}\n", sys.stderr)
        self._notes.clear()

    def _write(self, text: str, *, ends_line: bool) -> None:
        if not self.quiet:
            say(text, sys.stderr)
            self._in_line = not ends_line
