"""What the pictures of rules promise: every rule and item asked for is there, under its name, where it belongs."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.patches import FancyArrowPatch

from crmlytics.affinity._plots import (
    _one_a_spot,
    plot_lift_matrix,
    plot_parallel_coordinates,
    plot_rule_graph,
    plot_rules,
)
from crmlytics.affinity._rule_graph import APART, edges_of, layout
from crmlytics.affinity.itemsets import frequent_itemsets
from crmlytics.affinity.rules import association_rules
from crmlytics.exceptions import SchemaError

CARTS = {"tea milk": 30, "tea": 10, "milk": 5, "jam bread butter": 20, "jam": 5, "butter": 10, "rice": 20}
NAMES = {"tea": "Finest green tea from the highest gardens of all", "jam": "Jam"}
ALL = (plot_rules, plot_rule_graph, plot_lift_matrix, plot_parallel_coordinates)


@pytest.fixture(autouse=True)
def headless():
    mpl.use("Agg")
    yield
    plt.close("all")


def rules_of(carts, **limits):
    filled = [cart for cart, times in carts.items() for _ in range(times)]
    lines = [(number, item) for number, cart in enumerate(filled) for item in cart.split()]
    frame = pd.DataFrame(lines, columns=["order_id", "product_id"])
    return association_rules(frequent_itemsets(frame, min_support=1), **limits)


@pytest.fixture(scope="module")
def rules():
    return rules_of(CARTS)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def arrows(ax):
    return [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]


# -- all of them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plot", ALL)
def test_draws_where_it_is_told_and_saves(plot, rules, tmp_path):
    figure, (left, right) = plt.subplots(1, 2, layout="constrained")
    assert plot(rules, ax=right) is right
    assert not left.has_data()
    figure.savefig(tmp_path / "picture.png")


@pytest.mark.parametrize("plot", ALL)
def test_says_what_is_missing(plot, rules):
    with pytest.raises(
        SchemaError, match=rf"{plot.__name__}: expected a RuleSet, got DataFrame. Give the rules before"
    ):
        plot(rules.to_frame())
    with pytest.raises(SchemaError, match=rf"{plot.__name__}: there are no rules to draw. Mine with a lower"):
        plot(rules.at_least(lift=1000))


@pytest.mark.parametrize("plot", ALL)
def test_a_single_rule_is_enough(plot, rules):
    ax = plot(rules.top(1))
    ax.figure.canvas.draw()
    assert ax.has_data() or ax.patches or ax.texts


# -- support and confidence ----------------------------------------------------------------------------------------


def test_every_rule_stands_at_its_support_and_confidence_the_highest_lift_last(rules):
    ax = plot_rules(rules)
    points = np.asarray(ax.collections[0].get_offsets())
    expected = np.column_stack([rules.measure("support"), rules.measure("confidence")])
    assert set(map(tuple, points.round(9).tolist())) == set(map(tuple, expected.round(9).tolist()))
    strongest = rules.top(1)
    assert points[-1].tolist() == [strongest.measure("support")[0], strongest.measure("confidence")[0]]
    assert ax.get_title(loc="left") == f"{len(rules):,} rules"
    assert ax.get_xscale() == "linear"


def test_wide_supports_are_on_a_log_scale():
    assert plot_rules(rules_of({"tea milk": 1000, "jam bread": 20, "x": 3000})).get_xscale() == "log"


def test_any_measure_colours_and_unknown_ones_are_refused(rules):
    assert plot_rules(rules, colour="conviction").figure.axes[1].get_ylabel() == "Conviction"  # inf among them
    assert plot_rules(rules, colour="improvement").figure.axes[1].get_ylabel() == "Improvement"
    with pytest.raises(SchemaError, match=r"no measure is called 'lifft'. Did you mean 'lift'"):
        plot_rules(rules, colour="lifft")


def test_of_points_on_one_spot_the_strongest_is_drawn_and_the_strongest_of_all_last():
    x = np.array([0.0, 0.0, 1.0, 1.0, 0.5])
    shade = np.array([1.0, 2.0, 9.0, np.nan, 3.0])
    assert _one_a_spot(x, x, shade).tolist() == [1, 4, 2]


def test_hundreds_of_thousands_of_rules_leave_few_points():
    generator = np.random.default_rng(0)
    x, y = generator.beta(1, 20, 400_000), generator.random(400_000)
    assert len(_one_a_spot(x, y, x)) < 120_000


# -- the graph -----------------------------------------------------------------------------------------------------


def test_a_pair_is_two_arrows_and_a_bundle_goes_through_a_dot():
    pair = rules_of({"tea milk": 3, "x": 3})
    assert len(arrows(plot_rule_graph(pair))) == 2
    bundle = rules_of({"a b c": 3, "x": 3}, antecedent=["a", "b"], consequent="c")
    bundle = bundle.take(np.flatnonzero(bundle.itemsets.tree.parent[bundle.antecedent] >= 0))
    ax = plot_rule_graph(bundle)
    heads = [type(arrow.get_arrowstyle()).__name__ for arrow in arrows(ax)]
    assert heads == ["Curve", "Curve", "CurveFilledB"]
    assert [len(points.get_offsets()) for points in ax.collections] == [3, 1]


def test_wide_is_confident_and_dark_is_a_high_lift(rules):
    drawn = rules.take(np.flatnonzero(rules.itemsets.tree.parent[rules.antecedent] < 0))
    found = arrows(plot_rule_graph(drawn, n=100))
    widths = [arrow.get_linewidth() for arrow in found]
    assert np.argsort(widths, kind="stable").tolist() == np.argsort(drawn.measure("confidence"), kind="stable").tolist()
    brightness = [sum(to_rgba(arrow.get_edgecolor())[:3]) for arrow in found]
    assert int(np.argmin(brightness)) == int(np.argmax(drawn.measure("lift")))
    assert int(np.argmax(brightness)) == int(np.argmin(drawn.measure("lift")))


def test_n_is_the_most_rules_and_the_first_are_drawn(rules):
    ax = plot_rule_graph(rules, n=1)
    first = rules.to_frame().iloc[0]
    assert sorted(texts(ax)) == sorted([*first["antecedent"], *first["consequent"]])
    assert ax.get_title(loc="left").startswith("1 rule: ")


def test_items_bear_their_names_in_two_short_lines(rules):
    shown = texts(plot_rule_graph(rules, n=100, names=NAMES))
    assert sorted(shown) == ["Finest green tea\nfrom the highest…", "Jam", "bread", "butter", "milk"]


def test_the_same_rules_give_the_same_layout_with_items_apart(rules):
    places, (width, height) = layout(edges_of(rules))
    again, _ = layout(edges_of(rules))
    assert all(np.array_equal(places[node], again[node]) for node in places)
    items = np.array([place for (kind, _), place in places.items() if kind == "item"])
    distances = np.linalg.norm(items[:, None] - items[None], axis=2)[np.triu_indices(len(items), 1)]
    assert distances.min() > APART - 1e-9
    assert (items >= 0).all()
    assert (items <= [width, height]).all()


def test_many_items_around_one_are_spread_until_labels_fit():
    star = {f"hub leaf{i}": 5 for i in range(12)} | {"x": 50}
    places, _ = layout(edges_of(rules_of(star, consequent="hub")))
    items = np.array(list(places.values()))
    distances = np.linalg.norm(items[:, None] - items[None], axis=2)[np.triu_indices(len(items), 1)]
    assert distances.min() == pytest.approx(APART)


def test_groups_share_a_page_and_do_not_overlap():
    carts = {f"a{i} b{i}": 5 for i in range(15)} | {"p q r s": 5, "x": 50}
    places, (width, _) = layout(edges_of(rules_of(carts)))
    assert width <= 11
    items = np.array([place for (kind, _), place in places.items() if kind == "item"])
    apart = np.abs(items[:, None] - items[None])[np.triu_indices(len(items), 1)]
    assert ((apart[:, 0] > 1.1) | (apart[:, 1] > 0.7)).mean() > 0.99  # but within the group of four


# -- the lift matrix -----------------------------------------------------------------------------------------------


def matrix_of(ax):
    names = [label.get_text() for label in ax.get_yticklabels()]
    written = {tuple(map(int, text.get_position())): text.get_text() for text in ax.texts}
    return {(names[i], names[j]): text for (j, i), text in written.items()}


def test_lift_of_every_pair_is_written_twice_and_unknown_pairs_are_blank(rules):
    ax = plot_lift_matrix(rules)
    written = matrix_of(ax)
    assert written["tea", "milk"] == written["milk", "tea"] == f"{30 * 100 / (40 * 35):.1f}"
    assert written["jam", "bread"] == "4.0"  # 20 * 100 / (25 * 20)
    assert ("tea", "jam") not in written
    assert ("tea", "tea") not in written
    assert len(written) == 8  # tea-milk, and three pairs of jam, bread and butter
    assert [label.get_text() for label in ax.get_xticklabels()] == [label.get_text() for label in ax.get_yticklabels()]


def test_items_that_go_together_stand_together(rules):
    names = [label.get_text() for label in plot_lift_matrix(rules).get_yticklabels()]
    assert abs(names.index("tea") - names.index("milk")) == 1
    assert sorted(names.index(name) for name in ("jam", "bread", "butter")) in ([0, 1, 2], [2, 3, 4])


def test_colours_are_even_handed_around_one(rules):
    image = plot_lift_matrix(rules).images[0]
    assert image.norm.vmin == -image.norm.vmax
    assert image.norm.vmax == pytest.approx(2)  # bread with jam: a lift of 4


def test_n_is_the_most_items_and_long_names_are_cut(rules):
    ax = plot_lift_matrix(rules, n=2)
    assert len(ax.get_yticklabels()) == 2
    names = [label.get_text() for label in plot_lift_matrix(rules, names=NAMES).get_yticklabels()]
    assert "Finest green tea from the hig…" in names


# -- parallel coordinates ------------------------------------------------------------------------------------------


def test_a_line_runs_through_the_items_of_its_rule(rules):
    ax = plot_parallel_coordinates(rules, n=100)
    names = [label.get_text() for label in ax.get_yticklabels()]
    paths = set()
    for line in ax.lines[::2]:  # every line is followed by its arrowhead
        path = [names[int(y)] for y in line.get_ydata()]
        x = line.get_xdata().tolist()
        assert x == list(range(1 - len(x), 1))
        paths.add((frozenset(path[:-1]), path[-1]))
    table = rules.to_frame()
    assert paths == {(frozenset(row.antecedent), row.consequent[0]) for row in table.itertuples()}
    assert [label.get_text() for label in ax.get_xticklabels()] == ["and", "if", "then"]
