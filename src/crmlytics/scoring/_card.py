"""The model on one page: what it was made of, how good it is, and what it must not be used for."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from html import escape
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics.scoring._measures import AUC
from crmlytics.scoring._periods import period_count, when
from crmlytics.scoring._predictions import OUT_OF_TIME
from crmlytics.scoring._remarks import worst_cutoff

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crmlytics.scoring._evaluation import Evaluation
    from crmlytics.scoring._predictions import Predictions

Line = tuple[str, str, str]
PACKAGES = ("crmlytics", "scikit-learn", "numpy")
FEW_POSITIVES = 200
PERSUADABLE = (
    "It says who is likely, not who can be persuaded. Whom to treat is learnt from campaigns with a control group."
)
RETENTION = "Customers at the highest risk are often not those whom an offer keeps (Ascarza 2018)."  # for churn
DRIFT = (
    "It has learnt the past. After new prices, offers, channels or {noun} of another kind, judge it again before "
    "using it, and train it again when its period or stability table drifts."
)
SCOPE = (
    "It holds for {noun} chosen as those it was trained on, and for this target and horizon; other {noun} have no "
    "score worth the name."
)
CAUSES = (
    "Reasons and features describe what goes along with the outcome. They are no causes: to change one need not change "
    "the outcome."
)
PERSONS = (
    "It must not decide about credit, insurance, employment or prices of persons; for these, laws ask for more than "
    "this card."
)
LIMITS = (PERSUADABLE, DRIFT, SCOPE, CAUSES, PERSONS)
CELL = "style='text-align:left'"


def current_versions() -> dict[str, str]:
    """Return the versions that a model fitted now is made with."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What a model knows about itself, beside its evaluation.

    Attributes
    ----------
    model : str
        The class, such as ``"ChurnModel"``.
    target, definition : str
        The name of the target, and in words what a positive is.
    row_count, customer_count, positive_count : int
        Of the training data.
    cutoffs : sequence of str
        Cutoffs of the training data as text; empty for a table without time.
    gap, horizon : str or None
        Such as ``"0d"`` and ``"90d"``.
    as_of : str or None
        The day the model was trained, if the caller said so: a result does not look at the clock.
    candidates : dict of str to float
        The log loss of each model tried, on held-out rows.
    chosen, why : str
        The one taken, and the reason.
    intercept, slope : float
        The line that turned raw log odds into calibrated ones; 0 and 1 changed nothing.
    features : sequence of str
        What the model looks at.
    left_out : dict of str to str
        Columns it does not look at, and why.
    limits : sequence of str
        What it must not be used for, beside what holds of every such model; of churn, ``(RETENTION,)``.
    versions : dict of str to str
        Of the packages it was fitted with.
    """

    model: str
    target: str
    definition: str
    row_count: int
    customer_count: int
    positive_count: int
    candidates: Mapping[str, float]
    chosen: str
    why: str
    features: Sequence[str]
    intercept: float = 0.0
    slope: float = 1.0
    left_out: Mapping[str, str] = field(default_factory=dict)
    cutoffs: Sequence[str] = ()
    gap: str | None = None
    horizon: str | None = None
    as_of: str | None = None
    limits: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=current_versions)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ModelCard:
    """A model on one page: print it, show it in a notebook, or keep ``.to_markdown()`` beside the scores.

    Attributes
    ----------
    facts : CardFacts
    evaluation : Evaluation
    """

    facts: CardFacts
    evaluation: Evaluation

    def to_frame(self) -> Any:
        """Return the card as a table: one row per line, with ``section``, ``item`` and ``value`` (String)."""
        names = ("section", "item", "value")
        columns = dict(zip(names, zip(*self.lines(), strict=True), strict=True))
        return table_with_lists(self.evaluation.engine, {name: np.array(columns[name], object) for name in names})

    def to_markdown(self) -> str:
        """Return the card as Markdown: a heading, and a list for every section."""
        text = [f"# {self.title}"]
        for section, lines in self._sections().items():
            items = [f"- **{item}**: {value}" if item else f"- {value}" for item, value in lines]
            text.append("\n".join([f"## {section}", "", *items]))
        return "\n\n".join(text) + "\n"

    @property
    def title(self) -> str:
        """The heading: the class and its target."""
        return f"{self.facts.model}: {self.facts.target}"

    def lines(self) -> list[Line]:
        """Return all lines as (section, item, value), in the order of reading; a sentence has an empty item."""
        facts, evaluation = self.facts, self.evaluation
        return [
            *_titled("What it predicts", _target(facts)),
            *_titled("Data", _data(facts, evaluation.judged)),
            *_titled("How it was chosen", _choice(facts)),
            *_titled("How good it is", _quality(evaluation)),
            *_titled("Features", _features(facts)),
            *_titled("Limits", [("", limit) for limit in _limits(facts, evaluation)]),
            *_titled("Made with", list(facts.versions.items())),
        ]

    def __str__(self) -> str:
        """Return the card as Markdown."""
        return self.to_markdown()

    def __repr__(self) -> str:
        """Say what it is the card of, with its grade."""
        return f"ModelCard of {self.title}, grade {self.evaluation.grade.letter} (print it, or .to_markdown())"

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def _repr_html_(self) -> str:
        rows = [f"<h3>{escape(self.title)}</h3>"]
        for section, lines in self._sections().items():
            cells = [
                f"<tr><th {CELL}>{escape(item)}</th><td {CELL}>{escape(value)}</td></tr>"
                if item
                else f"<tr><td colspan='2' {CELL}>{escape(value)}</td></tr>"
                for item, value in lines
            ]
            rows.append(f"<h4>{escape(section)}</h4><table>{''.join(cells)}</table>")
        return "".join(rows)

    def _sections(self) -> dict[str, list[tuple[str, str]]]:
        sections: dict[str, list[tuple[str, str]]] = {}
        for section, item, value in self.lines():
            sections.setdefault(section, []).append((item, value))
        return sections


def _titled(section: str, lines: list[tuple[str, str]]) -> list[Line]:
    return [(section, item, value) for item, value in lines]


def _target(facts: CardFacts) -> list[tuple[str, str]]:
    known = {"gap": facts.gap, "horizon": facts.horizon, "trained as of": facts.as_of}
    lines = [("target", facts.target), ("a positive is", facts.definition)]
    return lines + [(name, value) for name, value in known.items() if value is not None]


def _data(facts: CardFacts, judged: Predictions) -> list[tuple[str, str]]:
    share = facts.positive_count / max(facts.row_count, 1)
    lines = [
        ("rows", f"{facts.row_count:,}"),
        (judged.noun, f"{facts.customer_count:,}"),
        ("positives", f"{facts.positive_count:,} ({share:.1%})"),
    ]
    if facts.cutoffs:
        first, last = facts.cutoffs[0], facts.cutoffs[-1]
        lines.append(
            (f"{when(judged)[1]}s", first if len(facts.cutoffs) == 1 else f"{len(facts.cutoffs)}, {first} to {last}")
        )
    return lines


def _choice(facts: CardFacts) -> list[tuple[str, str]]:
    tried = sorted(facts.candidates.items(), key=lambda found: found[1])
    lines = [("taken", facts.chosen), ("why", facts.why)]
    if tried:
        lines.append(("tried (log loss)", "; ".join(f"{name} {loss:.4f}" for name, loss in tried)))
    line = f"calibrated log odds = {facts.intercept:z.2f} + {facts.slope:.2f} x log odds"
    return [*lines, ("calibration", "none needed" if (facts.intercept, facts.slope) == (0, 1) else line)]


def _quality(evaluation: Evaluation) -> list[tuple[str, str]]:
    figure = evaluation.figure
    lines = [("judged", evaluation.judged.scheme), ("in a sentence", evaluation.grade.sentence)]
    for one in evaluation.predictions:
        low, high = (figure(name, scheme=one.scheme) for name in ("auc_low", "auc_high"))
        area = figure(AUC, scheme=one.scheme)
        lines.append((f"AUC, {one.scheme}", f"{area:.3f} (95% interval {low:.3f} to {high:.3f})"))
    lines += [
        (name.replace("_", " "), f"{figure(name):.3f}")
        for name in ("average_precision", "log_loss", "brier_score", "calibration_error")
    ]
    mean = f"{figure('mean_probability'):.1%} predicted, {figure('base_rate'):.1%} came true"
    lines.append(("mean probability", mean))
    worst = worst_cutoff(evaluation.judged)
    return [*lines, (f"worst {when(evaluation.judged)[1]}", worst.removeprefix("at "))] if worst else lines


def _features(facts: CardFacts) -> list[tuple[str, str]]:
    used = (f"used ({len(facts.features)})", ", ".join(facts.features))
    return [used, *((f"left out: {name}", reason) for name, reason in facts.left_out.items())]


def _limits(facts: CardFacts, evaluation: Evaluation) -> list[str]:
    """Return what was found about this model first, then what holds of all."""
    found = list(evaluation.remarks)
    if facts.positive_count < FEW_POSITIVES:
        found.append(
            f"Learnt from {facts.positive_count:,} positives: few. Its reasons are hints, and another sample "
            "might give another model."
        )
    if evaluation.judged.scheme == OUT_OF_TIME and period_count(evaluation.judged) == 1:
        at, cutoff = when(evaluation.judged)
        found.append(f"Judged {at} one {cutoff} only: how it does in other seasons is not known.")
    return [*found, *facts.limits, *(limit.format(noun=evaluation.judged.noun) for limit in LIMITS)]
