"""A fitted model in a file: what it is can be read by anybody, the model itself only from a source that is trusted.

The file is one line of JSON, then a pickle. There is one format: skops, which is safer to open, would have to be told
to trust every class of a model one by one, and is one more dependency.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import platform
import warnings
from pathlib import Path
from typing import Any

from crmlytics._validation import warn
from crmlytics.exceptions import SchemaError

FORMAT = 1
NAME = "crmlytics model"
LONGEST_HEADER = 10_000_000


def save_model(model: Any, path: str | os.PathLike[str]) -> None:
    """Save a fitted model to a file; a file of that name is replaced, once the new one is complete.

    Parameters
    ----------
    model : estimator of this library
    path : path
        Such as ``"churn.model"``.

    See Also
    --------
    load_model : Read it again.
    describe_model : What is in the file, without running it.
    """
    path = Path(path)
    payload = pickle.dumps(model, protocol=5)
    header = {
        "format": FORMAT,
        "name": NAME,
        "class": f"{type(model).__module__}.{type(model).__qualname__}",
        "features": [str(name) for name in getattr(model, "feature_names_in_", ())],
        "python": platform.python_version(),
        "packages": _versions(),
        "size": len(payload),
        "sha256": hashlib.sha256(payload).hexdigest(),
    }
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        unfinished.write_bytes(json.dumps(header).encode() + b"\n" + payload)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def load_model(path: str | os.PathLike[str], *, trusted: bool = False) -> Any:
    """Load a model that :func:`save_model` saved.

    Parameters
    ----------
    path : path
    trusted : bool
        Must be True: a saved model is a pickle, and loading one runs whatever code its author put into it. The check
        sum in the file finds damage, not tampering. Load only what you or somebody you trust has saved.

    Returns
    -------
    estimator
        As it was saved. A warning says when it was saved with other versions of crmlytics, scikit-learn or numpy,
        with which its scores may differ.

    Raises
    ------
    SchemaError
        Without ``trusted=True``; for a file that is damaged, no saved model, of a newer format, or of versions that
        cannot read each other.
    """
    header, payload = _opened(path, caller="load_model")
    if trusted is not True:
        msg = (
            f"load_model: {str(path)!r} says that it holds {header['class']}, and loading it runs the code in it. "
            "If you know who saved it and trust them, type load_model(path, trusted=True)."
        )
        raise SchemaError(msg)
    if len(payload) != header["size"] or hashlib.sha256(payload).hexdigest() != header["sha256"]:
        msg = (
            f"load_model: {str(path)!r} is damaged: {len(payload):,} of {header['size']:,} bytes of the model are "
            "there, and their check sum is not the one saved. Copy it again, or save the model again."
        )
        raise SchemaError(msg)
    differing = _differing(header["packages"])
    if differing:
        warn(
            f"load_model: {str(path)!r} was saved with {differing}. Its scores may differ: compare some with those of "
            "the time, or fit the model again."
        )
    return _unpickled(payload, path, differing)


def describe_model(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a saved model says of itself, without running any of it.

    Returns
    -------
    dict
        ``class`` and ``features`` (what it was learnt from), ``python`` and ``packages`` (versions it was saved with),
        ``size`` (bytes) and ``sha256`` of the model, ``format``.
    """
    return _opened(path, caller="describe_model")[0]


# -- inside --------------------------------------------------------------------------------------------------------


def _opened(path: str | os.PathLike[str], *, caller: str) -> tuple[dict[str, Any], bytes]:
    """Return the header of a file and the bytes after it, which nothing is known of yet."""
    with Path(path).open("rb") as file:
        line, payload = file.readline(LONGEST_HEADER), file.read()
    try:
        header = json.loads(line)
    except ValueError:
        header = None
    if not isinstance(header, dict) or header.get("name") != NAME:
        msg = f"{caller}: {str(path)!r} is not a model that save_model saved, or its beginning is damaged."
        raise SchemaError(msg)
    if header["format"] != FORMAT:
        msg = (
            f"{caller}: {str(path)!r} has format {header['format']}, this version of crmlytics reads format {FORMAT}. "
            f"It was saved with crmlytics {header['packages']['crmlytics']}: install that version or a newer one."
        )
        raise SchemaError(msg)
    return header, payload


def _versions() -> dict[str, str]:
    import numpy as np
    import sklearn

    from crmlytics import __version__

    return {"crmlytics": __version__, "scikit-learn": sklearn.__version__, "numpy": np.__version__}


def _differing(saved: dict[str, str]) -> str:
    """Say which packages had another version that matters, for which the third number does not."""
    now = _versions()
    return " and ".join(
        f"{name} {saved[name]} (here: {now[name]})"
        for name in now
        if saved[name].split(".")[:2] != now[name].split(".")[:2]
    )


def _unpickled(payload: bytes, path: str | os.PathLike[str], differing: str) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Trying to unpickle estimator")  # said above, once
        try:
            return pickle.load(io.BytesIO(payload))  # noqa: S301  the caller said that it is trusted
        except (AttributeError, ImportError, TypeError, ValueError, pickle.UnpicklingError) as error:
            versions = differing or "the versions that are here"
            msg = f"load_model: {str(path)!r} was saved with {versions}, and cannot be read here: {error}"
            raise SchemaError(msg) from error
