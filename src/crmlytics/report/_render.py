"""From sections to one HTML text that needs nothing else: no network, no script, no font."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup

import crmlytics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crmlytics.report._section import Section


def render(*, title: str, subtitle: str, sections: Sequence[Section], footnotes: Sequence[str]) -> str:
    """Fill the page's template; every text is escaped unless it is Markup."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(_package_text("page.html.jinja"))
    return page.render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        footnotes=footnotes,
        version=crmlytics.__version__,
        css=Markup(_package_text("page.css")),  # noqa: S704  our own file
    )


def _package_text(name: str) -> str:
    return files("crmlytics.report").joinpath(name).read_text(encoding="utf-8")
