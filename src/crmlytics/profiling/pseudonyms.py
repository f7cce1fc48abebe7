"""Ids that nobody can read, the same for the same customer in every table."""

from __future__ import annotations

import hmac
from typing import Any

import narwhals.stable.v2 as nw

from crmlytics._frames import collect, columns_of, enter
from crmlytics._validation import did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.scoring._reading import with_whole_ids

SHORTEST_SECRET = 16  # characters


def pseudonymise(table: Any, *, key: str = "customer_id", secret: str | bytes) -> Any:
    """Replace the ids of a table by pseudonyms: the same id and secret give the same pseudonym, in every table.

    Parameters
    ----------
    table : dataframe
        Any table with ids: customers, order lines, contacts.
    key : str, default "customer_id"
        The column of the ids, whole numbers or text; 5 and "5" are the same id.
    secret : str or bytes of at least 16
        Who knows it can compute the pseudonym of every id. Make one by ``secrets.token_hex()``, keep it apart from the
        tables, and use it again as long as tables are to be joined.

    Returns
    -------
    dataframe of the kind that came in, same rows and columns in the same order
        ``key`` holds the pseudonyms (String, 64 hexadecimal digits; null where the id is).

    Raises
    ------
    MissingColumnsError
        When there is no such column.
    SchemaError
        When the secret is too short, or ids are neither whole numbers nor text.

    Notes
    -----
    HMAC-SHA256 (RFC 2104, FIPS 198-1) of the id as text in UTF-8. A hash without a secret would be no protection:
    there are few ids, and whoever has a list of them hashes them all.

    **Pseudonymous is not anonymous.** The holder of the secret can tell who is who, and anybody may by what else the
    table holds: a postcode and a date of birth name most people. Such a table stays personal data (GDPR, article 4(5)
    and recital 26). For counts to pass on, see ``least_count`` of :func:`profile_table`.

    The table is computed in memory, that of a lazy engine too.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.profiling import pseudonymise
    >>> orders = pd.DataFrame({"customer_id": [7, 8, 7], "amount": [10, 20, 30]})
    >>> hidden = pseudonymise(orders, secret="a secret of your own")
    >>> [len(name) for name in hidden["customer_id"]], hidden["customer_id"].nunique(), list(hidden["amount"])
    ([64, 64, 64], 2, [10, 20, 30])
    """
    caller = "pseudonymise"
    secret_bytes = _secret(secret, caller=caller)
    plan, engine = enter(table, caller=caller)
    if key not in columns_of(plan):
        names = columns_of(plan)
        msg = f"{caller} needs the column key={key!r}, no such column.{did_you_mean(key, names)} Columns: {names}"
        raise MissingColumnsError(msg)
    rows = collect(with_whole_ids(plan, [key], caller=caller).with_columns(nw.col(key).cast(nw.String)))
    ids = rows[key].to_list()
    names_of = {text: _pseudonym(text, secret_bytes) for text in set(ids) if isinstance(text, str)}
    hidden = [names_of.get(text) for text in ids]
    column = nw.new_series(key, hidden, nw.String(), backend=rows.implementation)
    return engine.from_eager(rows.with_columns(column))


def _pseudonym(text: str, secret: bytes) -> str:
    return hmac.digest(secret, text.encode(), "sha256").hex()


def _secret(secret: Any, *, caller: str) -> bytes:
    found = secret.encode() if isinstance(secret, str) else secret
    if not isinstance(found, bytes) or len(found) < SHORTEST_SECRET:
        kind = f"{len(found)} of them" if isinstance(found, bytes) else type(secret).__name__
        msg = (
            f"{caller}: secret must be text or bytes of at least {SHORTEST_SECRET} characters, got {kind}. "
            "Make one by secrets.token_hex() and keep it."
        )
        raise SchemaError(msg)
    return found
