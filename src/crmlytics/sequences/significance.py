"""In which sequence rules the order is more than chance, tested on customers nobody has looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._kernels.multiple_testing import adjust_p_values
from crmlytics._lists import table_with_lists
from crmlytics._validation import check_choice, check_fraction
from crmlytics.exceptions import SchemaError
from crmlytics.sequences._checks import check_rules
from crmlytics.sequences._occurrences import counts_of, orders_of, reads_the_same_turned_round
from crmlytics.sequences._reading import bind, read
from crmlytics.sequences.rules import count_columns, order_lift, rule_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._sequences import Sequences
    from crmlytics.sequences._occurrences import Orders
    from crmlytics.sequences.rules import SequenceRules
    from crmlytics.tables import Events, Transactions

CALLER = "significant_sequence_rules"
CORRECTIONS = ("holm", "benjamini_hochberg")


def significant_sequence_rules(
    rules: SequenceRules, holdout: Transactions | Events | Any, *, alpha: float = 0.05, correction: str = "holm"
) -> Any:
    """Test in other customers whether rules hold more often than the same rules the other way round.

    Of the customers who hold a rule one way only, as many should hold it the one way as the other, were it chance.
    Customers who hold it both ways, or neither, say nothing.

    Parameters
    ----------
    rules : SequenceRules
        From :func:`sequence_rules`. Bring few and good ones: p-values are corrected for all that come.
    holdout : Transactions, Events or dataframe
        Lines of other customers than those the rules were found in, of the same kind, such as
        ``crm.affinity.split_by_customer(transactions).holdout``, with the rules found in ``.explore``.
    alpha : float
        With ``"holm"`` the probability, at most, that a single one of the rules called significant is chance; with
        ``"benjamini_hochberg"`` the share of chance to be expected among them.
    correction : {"holm", "benjamini_hochberg"}
        How p-values are corrected for the number of rules.

    Returns
    -------
    dataframe of the kind that came in, one row per rule, the smallest adjusted p-value first, then the most telling
        ``antecedent``, ``consequent``, ``text``, ``sequence_count``, ``antecedent_count``, ``consequent_count``,
        ``reverse_count``, ``confidence``, ``lift``, ``order_lift`` (as in :meth:`SequenceRules.to_frame`, but counted
        in the holdout: take these for any plan; ratios are missing where a side does not occur);
        ``forward_only_count``, ``reverse_only_count`` (Int64, customers who hold the rule and not the rule turned
        round, and the other way: what is tested); ``p_value``; ``adjusted_p_value`` (Float64, compare with ``alpha``);
        ``is_significant`` (Boolean). A rule that reads the same turned round, such as tea => tea, has no order: it has
        no p-value, does not count in the correction, and is not significant.

    Raises
    ------
    SchemaError
        Something else than rules; a holdout with customers the rules were found in: p-values of rules in the data that
        chose them are none.

    Notes
    -----
    The p-value is that of a sign test, P(B >= forward_only_count) with B binomial of ``forward_only_count +
    reverse_only_count`` tries at 1/2.

    *Null hypothesis*, without limits of time: whatever customers buy and on however many days, these days could have
    come in any order. Then ``e1 > e2 => y`` is as likely as ``y > e1 > e2``, its consequent first, for each customer
    and for patterns of any length: the orders of given days in which a pattern occurs are counted by a product with one
    factor for each of its elements, and a product does not depend on the order of its factors. With limits of time
    that is not so; there the null hypothesis is that a history could as well have run backwards, and the rule is
    compared with its mirror image ``y > e2 > e1``, since gaps stay as they are. So the coin is fair however customers
    differ; who shows both orders costs power, not validity. In simulated customers with tastes of their own and days in
    any order 3.5% of rules had a p-value of at most 0.05, and 4.2% of those within 20 days.

    *What a significant rule means*: the order is no accident. Not why: what was launched later comes later, and what is
    in season in autumn follows what is in season in spring. Test a period in which both could be bought. What comes
    before a late thing comes late itself, so that a strong rule makes weak ones around it significant, too. A mirror
    image turns the antecedent round as well: within limits of time printer > ink => tea may be significant because ink
    follows the printer. Look at ink => tea first; ``max_len=2`` asks for nothing else. Sessions of one customer are
    alike: if customers return, mine ``by="customer_id"``.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.affinity import split_by_customer
    >>> from crmlytics.sequences import frequent_sequences, sequence_rules
    >>> days = pd.Timestamp("2024-01-01") + pd.to_timedelta([0, 20, 40], unit="D")
    >>> baskets = [["printer", "ink", "tea"], ["tea", "printer", "ink"]]
    >>> lines = pd.DataFrame(
    ...     [(c, 3 * c + n, days[n], item) for c in range(60) for n, item in enumerate(baskets[c % 2])],
    ...     columns=["customer_id", "order_id", "timestamp", "product_id"],
    ... )
    >>> split = split_by_customer(lines)
    >>> rules = sequence_rules(frequent_sequences(split.explore, min_support=5, max_len=2))
    >>> tested = significant_sequence_rules(rules, split.holdout)
    >>> tested[["text", "forward_only_count", "reverse_only_count", "is_significant"]].head(2)
                 text  forward_only_count  reverse_only_count  is_significant
    0  printer => ink                  30                   0            True
    1      ink => tea                  18                  12           False
    """
    rules = check_rules(rules, caller=CALLER)
    alpha = check_fraction(alpha, name="alpha", caller=CALLER)
    check_choice(correction, CORRECTIONS, name="correction", caller=CALLER)
    patterns, table = rules.patterns, bind(holdout, caller=CALLER)
    sequences = read(table, patterns.layout, known=patterns.item_ids, caller=CALLER)
    _refuse_known_customers(rules, sequences)
    orders = orders_of(rules, sequences)
    p_value = np.where(reads_the_same_turned_round(rules), np.nan, sign_test(orders))
    adjusted = adjust_p_values(p_value, correction)
    counts = count_columns(counts_of(rules, sequences), orders.backward, len(sequences))
    columns = rule_columns(rules, names=None, caller=CALLER) | counts
    columns |= {
        "forward_only_count": orders.forward_only,
        "reverse_only_count": orders.backward_only,
        "p_value": p_value,
        "adjusted_p_value": adjusted,
        "is_significant": adjusted <= alpha,
    }
    strength = np.nan_to_num(order_lift(orders.forward, orders.backward), nan=0.0)
    order = np.lexsort((-orders.forward_only, -strength, p_value, adjusted))
    return table_with_lists(table.engine, {name: _taken(values, order) for name, values in columns.items()})


def sign_test(orders: Orders) -> NDArray[np.float64]:
    """Return P(B >= forward only), B binomial of all sequences with one order only at 1/2; 1 where there are none."""
    from scipy.special import bdtrc

    tries = orders.forward_only + orders.backward_only
    tail: NDArray[np.float64] = bdtrc(orders.forward_only - 1.0, tries, 0.5)
    return np.where(orders.forward_only > 0, tail, 1.0)


def _refuse_known_customers(rules: SequenceRules, holdout: Sequences) -> None:
    """Refuse to confirm rules by the customers that they were found in."""
    found = rules.patterns.sequences
    shared = 0 if found is None else len(np.intersect1d(found.sequence_ids, holdout.sequence_ids))
    if shared:
        msg = (
            f"{CALLER}: {shared:,} of the {len(holdout):,} {rules.patterns.layout.whose} of holdout are among those "
            "the rules were found in, and confirm whatever was found in them. Test on others: split = "
            "affinity.split_by_customer(transactions), find the rules in split.explore, then "
            "significant_sequence_rules(rules, split.holdout)."
        )
        raise SchemaError(msg)


def _taken(values: Any, order: NDArray[np.int64]) -> Any:
    """Return a column in another order: of NumPy, or an Arrow array of lists."""
    return values[order] if isinstance(values, np.ndarray) else values.take(order)
