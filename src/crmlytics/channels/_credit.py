"""Credit by several models at once, and drawn again for its intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._validation import as_days, check_choice, check_count, check_fraction
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.attribution import ChainCredit, SharedCredit
    from crmlytics._kernels.draws import Draws
    from crmlytics.channels._paths import Touches

    Floats = NDArray[np.float64]

CALLER = "attribution_table"
MODELS = ("first", "last", "linear", "position", "time_decay", "markov", "shapley")
FIGURES = ("credit_conversion_count", "credit_share", "credit_amount", "removal_effect")
FEWEST_REPLICATES = 20  # below, the bounds of an interval are the extremes
BLOCK = 20  # draws at a time: what they count is held in memory


@dataclass(frozen=True, slots=True)
class Options:
    """Which models, how each of them deals, and what intervals are drawn."""

    models: list[str]
    order: int
    half_life: int
    position_shares: tuple[float, float, float]
    replicates: int
    confidence: float
    seed: int

    @classmethod
    def checked(cls, model: Any, order: Any, half_life: Any, position_shares: Any, drawing: dict[str, Any]) -> Options:
        """Check every option."""
        models = [model] if isinstance(model, str) or not hasattr(model, "__iter__") else list(model)
        for name in models:
            check_choice(name, MODELS, name="model", caller=CALLER)
        if not models or len(set(models)) < len(models):
            raise SchemaError(f"{CALLER}: model must name one or more of {list(MODELS)}, each once, got {model!r}.")
        return cls(
            models,
            check_count(order, name="order", caller=CALLER),
            as_days(half_life, name="half_life", caller=CALLER),
            _position(position_shares),
            check_count(drawing["replicates"], name="replicates", caller=CALLER, least=FEWEST_REPLICATES),
            check_fraction(drawing["confidence"], name="confidence", caller=CALLER),
            check_count(drawing["seed"], name="random_state", caller=CALLER, least=0),
        )


def _position(shares: Any) -> tuple[float, float, float]:
    expected = (
        f"{CALLER}: position_shares must be three shares that add up to 1 such as (0.4, 0.2, 0.4), got {shares!r}."
    )
    try:
        first, middle, last = (float(share) for share in shares)
    except (TypeError, ValueError) as error:
        raise SchemaError(expected) from error
    if min(first, middle, last) < 0 or abs(first + middle + last - 1) > 1e-9:
        raise SchemaError(expected)
    return first, middle, last


class _Drawing:
    """Customers, or paths where these are all that is known, as they came and drawn again in blocks.

    Attributes
    ----------
    unit : sparse array, shape (journeys, units)
        What is drawn: each journey, or bundles of customers with all their journeys.
    weights : float64 array, shape (units,)
        How often each came.
    blocks : list of slice
        The draws, some at a time.
    """

    def __init__(self, touches: Touches, options: Options) -> None:
        from scipy import sparse

        from crmlytics._kernels.draws import Draws

        size = len(touches.journeys)
        self.blocks = [
            slice(begin, min(begin + BLOCK, options.replicates)) for begin in range(0, options.replicates, BLOCK)
        ]
        self.seeds = np.random.SeedSequence(options.seed).spawn(len(self.blocks))
        self.draws: Draws | None = None
        if touches.owner is None:
            self.unit, self.weights = sparse.eye_array(size, format="csr"), touches.journeys.count
        else:
            draws = self.draws = Draws.of(touches.owner, replicates=options.replicates, seed=options.seed)
            places = (np.arange(size), draws.bundle)
            self.unit = sparse.csr_array((np.ones(size), places), shape=(size, draws.bundles))
            self.weights = np.ones(draws.bundles)

    def drawn(self, number: int) -> Floats:
        """Return how often each unit was drawn in one block: shape (units, draws)."""
        block = self.blocks[number]
        if self.draws is not None:
            return np.ascontiguousarray(self.draws.weights[block].T)
        random, total = np.random.default_rng(self.seeds[number]), self.weights.sum()
        counts = random.multinomial(int(total), self.weights / total, size=block.stop - block.start)
        return np.ascontiguousarray(counts.T.astype(np.float64))


def figures_of(touches: Touches, options: Options) -> dict[str, tuple[Floats, Floats, Floats]]:
    """Return the figures of each model with their bounds, of shape (figures, channels + 1): see ``FIGURES``."""
    from crmlytics._kernels.draws import bounds
    from crmlytics._kernels.working import in_parts

    drawing = _Drawing(touches, options)
    models = {name: _model(name, touches, options, drawing.unit) for name in options.models}

    def figures_again(number: int) -> list[Floats]:
        weights = drawing.drawn(number)
        return [_figures(model.credit(weights)) for model in models.values()]

    parts = in_parts(figures_again, range(len(drawing.blocks)), label=CALLER)
    found = {}
    for place, (name, model) in enumerate(models.items()):
        again = np.moveaxis(np.concatenate([part[place] for part in parts], axis=-1), -1, 0)
        came = _figures(model.credit(drawing.weights[:, None]))[..., 0]
        found[name] = (came, *bounds(again, options.confidence))
    return found


def _model(name: str, touches: Touches, options: Options, unit: Any) -> SharedCredit | ChainCredit:
    from crmlytics._kernels import attribution as kernel

    journeys, size = touches.journeys, len(touches.channels)
    if name == "markov":
        return kernel.ChainCredit.of(journeys, options.order, size, unit)
    match name:
        case "first" | "last":
            shares = kernel.end_shares(journeys, last=name == "last")
        case "linear":
            shares = kernel.linear_shares(journeys)
        case "position":
            shares = kernel.position_shares(journeys, *options.position_shares)
        case "shapley":
            shares = kernel.shapley_shares(journeys, size)
        case _:
            shares = kernel.decay_shares(journeys, np.asarray(touches.days), options.half_life)
    return kernel.SharedCredit.of(journeys, shares, size, unit)


def _figures(credit: Floats) -> Floats:
    """Return what ``FIGURES`` names, of conversions, money and removal effects: shape (4, channels + 1, ...)."""
    conversions, money, effect = credit
    total = conversions.sum(axis=0)
    share = np.divide(conversions, total, out=np.full_like(conversions, np.nan), where=total > 0)
    return np.stack([conversions, share, money, effect])
