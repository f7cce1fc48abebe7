"""Simple models of the next purchase: what every other model has to beat, and often does not."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from crmlytics._sequences import offsets
from crmlytics._validation import as_days, check_count
from crmlytics.exceptions import SchemaError
from crmlytics.sequences._allowed import own_items
from crmlytics.sequences._recommender import NextItemRecommender, Ranked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.next_baskets import Choice, Rows
    from crmlytics._sequences import Sequences
    from crmlytics.sequences._allowed import Allowed

    Best = tuple[NDArray[np.int32], NDArray[np.float64]]

PURCHASES_ASSUMED = 10  # what the overall repeat rate counts for, in purchases, beside those of the item itself


class _Baseline(NextItemRecommender):
    """What the baselines share: they know how popular each item is, which also decides between equal scores."""

    fills: ClassVar[bool] = True  # places that no candidate takes go to popular items

    def _learn(self, sequences: Sequences, now: NDArray[np.int64], horizon: int | None) -> None:  # noqa: ARG002
        self.popularity_ = np.bincount(sequences.items, minlength=len(sequences.item_ids)).astype(np.int64)

    def _rank(self, sequences: Sequences, now: NDArray[np.int64], n: int, allowed: Allowed) -> Ranked:
        most = min(n, max(len(self.popularity_), 1))
        items, scores = self._best(sequences, now, most, self._choice(allowed))
        taken = items >= 0
        return Ranked(offsets(taken.sum(axis=1)), items[taken], scores[taken])

    def _best(self, sequences: Sequences, now: NDArray[np.int64], n: int, choice: Choice) -> Best:
        """Rank up to ``n`` items for each customer, as the kernels do; most models only name candidates."""
        from crmlytics._kernels.next_baskets import best_candidates

        return best_candidates(self._candidates(sequences, now), choice, n)

    def _candidates(self, sequences: Sequences, now: NDArray[np.int64]) -> Rows:
        """Return the candidates of each customer with their scores, which are above zero."""
        raise NotImplementedError

    def _choice(self, allowed: Allowed) -> Choice:
        from crmlytics._kernels.next_baskets import Choice

        order = by_popularity(self.popularity_)
        return Choice(
            order, _places(order), allowed.anybody, allowed.starts, allowed.items, allowed.only, self.fills,
            self._fill_scores(),
        )  # fmt: skip

    def _fill_scores(self) -> NDArray[np.float64]:
        return np.zeros(len(self.popularity_))


class PopularRecommender(_Baseline):
    """Suggest to everybody what most orders hold.

    ``score`` is the share of all orders that hold the item. With ``which="repeat"`` everybody's own items are ranked
    so, with ``which="new"`` those that a customer has not bought yet.

    Parameters
    ----------
    item : {"product_id", "category"}, default "product_id"
        What is suggested.
    which : {"all", "repeat", "new"}, default "all"
        Whether all items are suggested, only those that the customer has bought before, or only others.

    Attributes
    ----------
    item_ids_, customer_kind_, as_of_, horizon_days_
        What the model was fitted to: the id of each item, whether customers' are numbers or text, the moment, and the
        days predicted (None: the next order).
    popularity_ : int64 array, shape (items,)
        How many orders held each item.
    order_count_ : int
        How many orders there were.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.to_datetime(["2024-01-01", "2024-01-08", "2024-01-15", "2024-01-09"])
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["ann", "ann", "ann", "bob"], "order_id": [1, 2, 3, 4], "timestamp": days,
    ...     "product_id": ["tea", "tea", "rice", "soap"],
    ... })
    >>> PopularRecommender().fit(orders, as_of="2024-02-01").recommend_table(orders, as_of="2024-02-01", n=2)
      customer_id  rank product_id  score
    0         ann     1        tea   0.50
    1         ann     2       rice   0.25
    2         bob     1        tea   0.50
    3         bob     2       rice   0.25
    """

    def _learn(self, sequences: Sequences, now: NDArray[np.int64], horizon: int | None) -> None:
        super()._learn(sequences, now, horizon)
        self.order_count_ = len(sequences.moment)

    def _candidates(self, sequences: Sequences, now: NDArray[np.int64]) -> Rows:  # noqa: ARG002
        return _rows(np.zeros(len(sequences) + 1, np.int64), np.empty(0, np.int32), np.empty(0))

    def _fill_scores(self) -> NDArray[np.float64]:
        shares: NDArray[np.float64] = self.popularity_ / max(self.order_count_, 1)
        return shares


class PersonalThenPopularRecommender(_Baseline):
    """Suggest what the customer buys most often, then what is popular: hard to beat where people buy the same again.

    ``score`` is the share of the customer's orders that hold the item; 0 for what is there only because it is popular.

    Parameters
    ----------
    item : {"product_id", "category"}, default "product_id"
        What is suggested.
    which : {"all", "repeat", "new"}, default "all"
        Whether all items are suggested, only those that the customer has bought before, or only others.

    Attributes
    ----------
    item_ids_, customer_kind_, as_of_, horizon_days_
        What the model was fitted to: the id of each item, whether customers' are numbers or text, the moment, and the
        days predicted (None: the next order).
    popularity_ : int64 array, shape (items,)
        How many orders held each item.

    References
    ----------
    M. Li, S. Jullien, M. Ariannezhad, M. de Rijke (2023), "A next basket recommendation reality check", ACM
    Transactions on Information Systems 41(4): "GP-TopFreq" beside models that are much larger.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.to_datetime(["2024-01-01", "2024-01-08", "2024-01-15", "2024-01-09"])
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["ann", "ann", "ann", "bob"], "order_id": [1, 2, 3, 4], "timestamp": days,
    ...     "product_id": ["tea", "tea", "rice", "soap"],
    ... })
    >>> model = PersonalThenPopularRecommender().fit(orders, as_of="2024-02-01")
    >>> model.recommend_table(orders, as_of="2024-02-01", n=2).round(2)
      customer_id  rank product_id  score
    0         ann     1        tea   0.67
    1         ann     2       rice   0.33
    2         bob     1       soap   1.00
    3         bob     2        tea   0.00
    """

    def _candidates(self, sequences: Sequences, now: NDArray[np.int64]) -> Rows:  # noqa: ARG002
        starts, items, counts = own_items(sequences)
        orders = np.repeat(np.diff(sequences.starts), np.diff(starts))
        return _rows(starts, items, counts / orders)


class PersonalTopRecommender(PersonalThenPopularRecommender):
    """Suggest what the customer buys most often, and nothing else: lists may be short, or empty.

    ``score`` is the share of the customer's orders that hold the item. With ``which="new"`` there is nothing to say.

    Parameters
    ----------
    item : {"product_id", "category"}, default "product_id"
        What is suggested.
    which : {"all", "repeat", "new"}, default "all"
        Whether all items are suggested, only those that the customer has bought before, or only others.

    Attributes
    ----------
    item_ids_, customer_kind_, as_of_, horizon_days_
        What the model was fitted to: the id of each item, whether customers' are numbers or text, the moment, and the
        days predicted (None: the next order).
    popularity_ : int64 array, shape (items,)
        How many orders held each item: decides between equals.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.to_datetime(["2024-01-01", "2024-01-08", "2024-01-15", "2024-01-09"])
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["ann", "ann", "ann", "bob"], "order_id": [1, 2, 3, 4], "timestamp": days,
    ...     "product_id": ["tea", "tea", "rice", "soap"],
    ... })
    >>> model = PersonalTopRecommender().fit(orders, as_of="2024-02-01")
    >>> model.recommend_table(orders, as_of="2024-02-01", n=2).round(2)
      customer_id  rank product_id  score
    0         ann     1        tea   0.67
    1         ann     2       rice   0.33
    2         bob     1       soap   1.00
    """

    fills: ClassVar[bool] = False


class DecayedRepeatRecommender(_Baseline):
    r"""Suggest what the customer bought often and lately, and what people buy again at all; then what is popular.

    Parameters
    ----------
    half_life : str or timedelta, default "90d"
        After how long a purchase counts half.
    item : {"product_id", "category"}, default "product_id"
        What is suggested.
    which : {"all", "repeat", "new"}, default "all"
        Whether all items are suggested, only those that the customer has bought before, or only others.

    Attributes
    ----------
    item_ids_, customer_kind_, as_of_, horizon_days_
        What the model was fitted to: the id of each item, whether customers' are numbers or text, the moment, and the
        days predicted (None: the next order).
    popularity_ : int64 array, shape (items,)
        How many orders held each item.
    repeat_rates_ : float64 array, shape (items,)
        Which share of the orders with an item were of customers who had bought it before.

    Notes
    -----
    ``score`` is :math:`\rho_i \sum_o 2^{-(now - t_o) / half\_life}` over the customer's orders :math:`o` with the item,
    of day :math:`t_o`; 0 for what is there only because it is popular. The repeat rate
    :math:`\rho_i = (n_i - c_i + 10 \rho) / (n_i + 10)` has :math:`n_i` orders of :math:`c_i` customers with the item,
    and :math:`\rho` is that of all items together: an item bought a few times is judged mostly as any other.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.to_datetime(["2024-01-01", "2024-01-08", "2024-01-15", "2024-01-09"])
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["ann", "ann", "ann", "bob"], "order_id": [1, 2, 3, 4], "timestamp": days,
    ...     "product_id": ["tea", "tea", "rice", "soap"],
    ... })
    >>> model = DecayedRepeatRecommender(half_life="7d").fit(orders, as_of="2024-01-15")
    >>> model.recommend_table(orders, as_of="2024-01-22", n=1).round(2)  # (1/8 + 1/4) x (1 + 10/3) / 12
      customer_id  rank product_id  score
    0         ann     1        tea   0.14
    1         bob     1       soap   0.08
    """

    def __init__(self, *, half_life: str = "90d", item: str = "product_id", which: str = "all") -> None:
        super().__init__(item=item, which=which)
        self.half_life = half_life

    def _check(self, *, caller: str) -> None:
        super()._check(caller=caller)
        as_days(self.half_life, name="half_life", caller=caller)

    def _learn(self, sequences: Sequences, now: NDArray[np.int64], horizon: int | None) -> None:
        super()._learn(sequences, now, horizon)
        _, items, _ = own_items(sequences)
        repeated = self.popularity_ - np.bincount(items, minlength=len(self.popularity_))
        overall = repeated.sum() / max(self.popularity_.sum(), 1)
        self.repeat_rates_ = (repeated + PURCHASES_ASSUMED * overall) / (self.popularity_ + PURCHASES_ASSUMED)

    def _candidates(self, sequences: Sequences, now: NDArray[np.int64]) -> Rows:
        age = np.repeat(now, np.diff(sequences.starts)) - sequences.moment
        bought = _weighted(sequences, 0.5 ** (age / as_days(self.half_life, name="half_life", caller="")))
        return bought._replace(values=bought.values * self.repeat_rates_[bought.columns])


class MarkovRecommender(_Baseline):
    """Suggest what comes in the order after those with the items of the customer's last order; then what is popular.

    Parameters
    ----------
    successor_count : int, default 500
        How many successors are kept of an item, the likeliest: bounds the memory.
    item : {"product_id", "category"}, default "product_id"
        What is suggested.
    which : {"all", "repeat", "new"}, default "all"
        Whether all items are suggested, only those that the customer has bought before, or only others.

    Attributes
    ----------
    item_ids_, customer_kind_, as_of_, horizon_days_
        What the model was fitted to: the id of each item, whether customers' are numbers or text, the moment, and the
        days predicted (None: the next order).
    popularity_ : int64 array, shape (items,)
        How many orders held each item.
    successors_ : Rows
        Of each item the share of the orders with it, last orders apart, whose next order holds the other.

    Notes
    -----
    ``score`` is the mean, over the items of the last order, of the share of the orders with that item after which the
    customer's next order held the suggestion; 0 for what is there only because it is popular. A Markov chain of order
    one over baskets, without the personal factors of S. Rendle, C. Freudenthaler, L. Schmidt-Thieme (2010),
    "Factorizing personalized Markov chains for next-basket recommendation". It forgets all but the last order: good
    for accessories after a purchase, poor for groceries.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.to_datetime(["2024-01-01", "2024-01-08", "2024-01-15", "2024-01-09"])
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["ann", "ann", "ann", "bob"], "order_id": [1, 2, 3, 4], "timestamp": days,
    ...     "product_id": ["phone", "case", "charger", "phone"],
    ... })
    >>> model = MarkovRecommender().fit(orders, as_of="2024-02-01")
    >>> model.recommend_table(orders, as_of="2024-02-01", n=1)
      customer_id  rank product_id  score
    0         ann     1      phone    0.0
    1         bob     1       case    1.0
    """

    def __init__(self, *, successor_count: int = 500, item: str = "product_id", which: str = "all") -> None:
        super().__init__(item=item, which=which)
        self.successor_count = successor_count

    def _check(self, *, caller: str) -> None:
        super()._check(caller=caller)
        check_count(self.successor_count, name="successor_count", caller=caller)

    def _learn(self, sequences: Sequences, now: NDArray[np.int64], horizon: int | None) -> None:
        from crmlytics._kernels.next_baskets import successors_of

        super()._learn(sequences, now, horizon)
        place = _places(by_popularity(self.popularity_))
        arrays = sequences.starts, sequences.item_starts, sequences.items
        self.successors_ = successors_of(*arrays, self.successor_count, place)

    def _best(self, sequences: Sequences, now: NDArray[np.int64], n: int, choice: Choice) -> Best:  # noqa: ARG002
        from crmlytics._kernels.next_baskets import best_successors

        last = sequences.starts[1:] - 1
        lengths = np.diff(sequences.item_starts)[last]
        starts = offsets(lengths)
        items = sequences.items[np.repeat(sequences.item_starts[last] - starts[:-1], lengths) + np.arange(starts[-1])]
        return best_successors(_rows(starts, items, np.ones(len(items))), self.successors_, choice, n)


class TIFUKNNRecommender(_Baseline):
    r"""Suggest what the customer and similar customers buy often and lately: TIFU-KNN, then what is popular.

    Parameters
    ----------
    neighbour_count : int, default 300
        How many similar customers count (k of the paper).
    group_size : int, default 7
        How many orders make a group (m), counted from the last one.
    basket_decay : float, default 0.9
        What an order counts, as a multiple of the next one in its group (r_b): above 0, at most 1.
    group_decay : float, default 0.7
        What a group counts, as a multiple of the next one (r_g): above 0, at most 1.
    own_weight : float, default 0.7
        What the customer's own purchases count, against those of similar customers (alpha): from 0 to 1.
    item : {"product_id", "category"}, default "product_id"
        What is suggested.
    which : {"all", "repeat", "new"}, default "all"
        Whether all items are suggested, only those that the customer has bought before, or only others.

    Attributes
    ----------
    item_ids_, customer_kind_, as_of_, horizon_days_
        What the model was fitted to: the id of each item, whether customers' are numbers or text, the moment, and the
        days predicted (None: the next order).
    popularity_ : int64 array, shape (items,)
        How many orders held each item.
    vectors_ : Rows
        What each customer of the fit buys: a weight for each item.
    customer_ids_ : array
        Whose vectors these are.

    Notes
    -----
    A customer's :math:`G` groups of orders, the last one :math:`g = 0` and all but the first of ``group_size``, give
    :math:`u = \frac{1}{G} \sum_g r_g^g \frac{1}{m_g} \sum_j r_b^j x_{gj}`, where :math:`x_{gj}` is 1 for the items of
    the order :math:`j` from the end of a group of :math:`m_g`. ``score`` is
    :math:`\alpha u + (1 - \alpha) \bar{u}`, with :math:`\bar{u}` the mean over the :math:`k` nearest customers, by
    Euclidean distance, of those who bought one of the customer's items; 0 for what is there only because it is popular.
    Nobody is a neighbour of theirs. The defaults are the paper's for Ta-Feng, a grocer. Time grows with the square of
    the number of customers: fit it to a sample of 100,000 or fewer.

    References
    ----------
    H. Hu, X. He, J. Gao, Z.-L. Zhang (2020), "Modeling personalized item frequency information for next-basket
    recommendation", SIGIR.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.to_datetime(["2024-01-01", "2024-01-08", "2024-01-15", "2024-01-09"])
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["ann", "ann", "ann", "bob"], "order_id": [1, 2, 3, 4], "timestamp": days,
    ...     "product_id": ["tea", "tea", "rice", "tea"],
    ... })
    >>> model = TIFUKNNRecommender().fit(orders, as_of="2024-02-01")
    >>> model.recommend_table(orders, as_of="2024-02-01", n=2).round(2)  # bob: rice only because ann buys it
      customer_id  rank product_id  score
    0         ann     1        tea   0.70
    1         ann     2       rice   0.23
    2         bob     1        tea   0.87
    3         bob     2       rice   0.10
    """

    def __init__(
        self,
        *,
        neighbour_count: int = 300,
        group_size: int = 7,
        basket_decay: float = 0.9,
        group_decay: float = 0.7,
        own_weight: float = 0.7,
        item: str = "product_id",
        which: str = "all",
    ) -> None:
        super().__init__(item=item, which=which)
        self.neighbour_count = neighbour_count
        self.group_size = group_size
        self.basket_decay = basket_decay
        self.group_decay = group_decay
        self.own_weight = own_weight

    def _check(self, *, caller: str) -> None:
        super()._check(caller=caller)
        for name in ("neighbour_count", "group_size"):
            check_count(getattr(self, name), name=name, caller=caller)
        for name in ("basket_decay", "group_decay", "own_weight"):
            value, may_be_zero = getattr(self, name), name == "own_weight"
            is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if not is_number or not (0 < value <= 1 or (may_be_zero and value == 0)):
                bounds = "from 0 to 1" if may_be_zero else "above 0 and at most 1"
                msg = f"{caller}: {name} must be a number {bounds}, got {value!r}."
                raise SchemaError(msg)

    def _learn(self, sequences: Sequences, now: NDArray[np.int64], horizon: int | None) -> None:
        super()._learn(sequences, now, horizon)
        self.vectors_, self.customer_ids_ = self._vectors(sequences), sequences.sequence_ids

    def _best(self, sequences: Sequences, now: NDArray[np.int64], n: int, choice: Choice) -> Best:  # noqa: ARG002
        from crmlytics._kernels.next_baskets import best_by_neighbours

        known, asked = self.customer_ids_, sequences.sequence_ids
        place = np.minimum(np.searchsorted(known, asked), len(known) - 1)
        itself = np.where(known[place] == asked, place, -1)
        neighbours = self.vectors_, self.neighbour_count, float(self.own_weight)
        return best_by_neighbours(self._vectors(sequences), itself, *neighbours, choice, n)

    def _vectors(self, sequences: Sequences) -> Rows:
        lengths = np.diff(sequences.starts)
        count = np.repeat(lengths, lengths)
        from_end = np.repeat(sequences.starts[1:], lengths) - 1 - np.arange(len(count))
        group, within = np.divmod(from_end, self.group_size)
        size = np.minimum(self.group_size, count - group * self.group_size)
        groups = -(-count // self.group_size)
        weight: Any = float(self.basket_decay) ** within / size * float(self.group_decay) ** group / groups
        return _weighted(sequences, weight)


def by_popularity(popularity: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return item codes, popular ones first and by code among equals: the order of their ids at the fit."""
    return np.argsort(-popularity, kind="stable").astype(np.int32)


def _weighted(sequences: Sequences, weight: NDArray[np.float64]) -> Rows:
    """Add up, for each sequence and item, the weights of the elements that hold it."""
    total = max(len(sequences.item_ids), 1)
    owner = np.repeat(np.arange(len(sequences)), np.diff(sequences.item_starts[sequences.starts]))
    keys, entry = np.unique(owner * total + sequences.items, return_inverse=True)
    values: Any = np.bincount(entry, np.repeat(weight, np.diff(sequences.item_starts)), len(keys))
    starts = np.searchsorted(keys, np.arange(len(sequences) + 1) * total).astype(np.int64)
    return _rows(starts, (keys % total).astype(np.int32), values)


def _rows(starts: NDArray[np.int64], columns: NDArray[np.int32], values: NDArray[np.float64]) -> Rows:
    from crmlytics._kernels.next_baskets import Rows

    return Rows(starts, columns, values)


def _places(order: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the place of each item in an order."""
    places = np.empty(len(order), np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    return places
