"""The report: one HTML page about a customer base that a manager reads on a phone, at a desk or on paper.

Tables are made first: each is one line in ``_parts.PARTS``, and a refusal leaves it out and is told on the page. Each
part of the page is a small module with a ``build(context)`` that returns a ``Section``, or None where what it needs is
not there. A new part is a line there, one more module, and one more name in ``_write.BUILDERS``.
"""

from crmlytics.report._write import write_report

__all__ = ["write_report"]
