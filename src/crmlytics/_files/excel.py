"""The one door to openpyxl, which only some users have."""

from __future__ import annotations

import sys
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
        raise MissingDependencyError(f"{path}: Excel files need openpyxl; type: {openpyxl_command()}") from error


def openpyxl_command() -> str:
    """Write the command that installs openpyxl where this Python looks for it."""
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    return f"{python} -m pip install openpyxl"
