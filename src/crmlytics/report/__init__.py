"""The report: one HTML page about a customer base that a manager reads on a phone, at a desk or on paper.

Each part of the page is a small module with a ``build(context)`` that returns a ``Section``, or None where what it
needs is not there. A new part is one more module, and one more name in ``_write.BUILDERS``.
"""

from crmlytics.report._write import write_report

__all__ = ["write_report"]
