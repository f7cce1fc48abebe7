"""Clicks for tests, written as the way of each session."""

import datetime as dt

NOON = dt.datetime(2024, 5, 1, 12)


def clicks_of(ways, *, seconds=60, customers=None, item="event"):
    """Columns of events: session ``s`` is the words of ``ways[s]``, one every ``seconds``, an hour after the last."""
    rows = [
        (s, NOON + dt.timedelta(hours=s, seconds=seconds * place), word)
        for s, way in enumerate(ways)
        for place, word in enumerate(way.split() if isinstance(way, str) else way)
    ]
    columns = dict(zip(["session_id", "timestamp", item], map(list, zip(*rows, strict=True)), strict=True))
    if customers is not None:
        columns["customer_id"] = [customers[session] for session in columns["session_id"]]
    return columns
