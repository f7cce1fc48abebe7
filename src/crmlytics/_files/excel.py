"""The one door to openpyxl, which only some users have."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crmlytics.exceptions import MissingDependencyError

if TYPE_CHECKING:
    from pathlib import Path


def need_openpyxl(path: Path) -> Any:
    """Import openpyxl, or say how to get it."""
    try:
        return import_module("openpyxl")
    except ImportError as error:
        msg = f'{path}: Excel files need openpyxl; type: pip install "crmlytics[excel]"'
        raise MissingDependencyError(msg) from error
