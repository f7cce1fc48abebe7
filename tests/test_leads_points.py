"""What the points scorecard promises: weights by hand, the best bins there are, sums that add up, SQL that agrees."""

import datetime as dt
import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics._kernels.evidence import agreeing_logistic, best_bins, information_values, weight_of_evidence
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.leads._scoring_plots import plot_points
from crmlytics.leads.points import PointsScorecard, points_table
from crmlytics.testing import FRAME_KINDS, check_table_estimator, make_frame, records

duckdb = pytest.importorskip("duckdb")
NEARLY_NONE = 1e-9  # shrinkage: the textbook's weights
ODD = 'size "of" it\'s \\ firm'  # a column that quoting has to get right
LEVELS = ["it's", 'a "b"', "back\\slash", "x'); drop table leads; --", "ünïcode", None, " Unknown ", "n/a"]


def table_of(rows=1200, seed=0, **more):
    """Leads whose odds rise with visits, differ by source, and do not know colour."""
    rng = np.random.default_rng(seed)
    visits = np.where(rng.random(rows) < 0.1, np.nan, rng.integers(0, 40, rows))
    source = rng.choice(["web", "fair", "partner", "Select"], rows, p=[0.5, 0.2, 0.2, 0.1])
    odds = -2 + 0.08 * np.nan_to_num(visits, nan=5) + np.where(source == "partner", 1.2, 0.0)
    columns = {
        "lead_id": np.arange(rows) + 7,
        "visits": visits,
        "source": source,
        "colour": rng.choice(["red", "green", "blue"], rows),
        "is_known": rng.random(rows) < 0.4,
        "converted": rng.random(rows) < 1 / (1 + np.exp(-odds)),
    }
    return columns | more


# -- weights and information, by hand ------------------------------------------------------------------------------


def test_weights_and_information_by_hand():
    events, counts = np.array([10.0, 30.0]), np.array([100.0, 100.0])  # 40 of 200
    weights = weight_of_evidence(events, counts, 0.2, NEARLY_NONE)
    assert weights == pytest.approx([math.log((10 / 90) / 0.25), math.log((30 / 70) / 0.25)])
    parts = information_values(events, counts, 40, 200, NEARLY_NONE)
    by_hand = [(10 / 40 - 90 / 160) * math.log((10 / 40) / (90 / 160)), (0.75 - 70 / 160) * math.log(0.75 / (70 / 160))]
    assert parts == pytest.approx(by_hand)


def test_empty_and_pure_bins_are_shrunk_towards_saying_nothing():
    weights = weight_of_evidence(np.array([0.0, 0.0, 5.0]), np.array([0.0, 5.0, 5.0]), 0.2, 10.0)
    assert weights[0] == 0.0
    assert weights[1] == pytest.approx(math.log((2 / 13) / 0.25))  # 0 + 10 x 0.2 against 5 + 10 x 0.8
    assert weights[2] == pytest.approx(math.log((7 / 8) / 0.25))


def test_points_by_hand():
    """One column with two levels: the regression adds nothing but its ridge; points follow from its coefficient."""
    leads = {
        "lead_id": list(range(400)),
        "source": ["web", "fair"] * 200,
        "converted": [i % 2 == 1 and i % 8 != 1 for i in range(400)],  # fair 150 of 200, web none
    }
    card = PointsScorecard(shrinkage=10, points_to_double_odds=10, base_points=100).fit(pd.DataFrame(leads))
    rows = {(row[0], row[1]): row for row in records(card.points_table())}
    weight = math.log((150 + 3.75) / (50 + 6.25) / (150 / 250))
    found = rows["source", "fair"]
    assert found[3] == pytest.approx(weight)
    assert found[4:7] == (200, 150, 0.75)
    coefficient = records(card.information_table())[0][5]
    assert found[2] == round(10 / math.log(2) * coefficient * weight)
    assert rows["source", "any other"][2] == rows["source", "missing"][2] == 0
    assert rows["source", "missing"][6] is None
    value = (0 / 150 - 200 / 250) * math.log((3.75 / 206.25) / 0.6) + (1 - 50 / 250) * weight
    assert found[7] == pytest.approx(value)
    assert records(card.information_table())[0][3] == pytest.approx(1 / 150 + 1 / 250)


def test_scale_means_what_it_says():
    columns = pd.DataFrame(table_of())
    card = PointsScorecard(points_to_double_odds=20, base_points=600, base_odds=50).fit(columns)
    scores = card.score_table(columns)
    odds = scores["outcome_probability"] / (1 - scores["outcome_probability"])
    assert np.allclose(scores["points"], 600 + 20 * np.log2(odds / 50))
    assert abs(scores["outcome_probability"].mean() - columns["converted"].mean()) < 0.01
    assert PointsScorecard().fit(columns).scorecard_.scale.probability(np.array([500.0])) == pytest.approx(
        columns["converted"].mean()
    )


# -- bins ----------------------------------------------------------------------------------------------------------


def brute_force(events, counts, totals, direction, max_bins, least, shrinkage, price):
    """Try every way to join neighbours."""
    fine, best = len(events), -math.inf
    for bins in range(1, min(max_bins, fine) + 1):
        for inner in itertools.combinations(range(1, fine), bins - 1):
            edges = (0, *inner, fine)
            e = np.add.reduceat(events, edges[:-1])
            n = np.add.reduceat(counts, edges[:-1])
            small = (n < max(least[0], 1)) | (e < least[1]) | (n - e < least[1])
            weights = weight_of_evidence(e, n, totals[0] / totals[1], shrinkage)
            if bins > 1 and (small.any() or (direction * np.diff(weights) < 0).any()):
                continue
            value = information_values(e, n, *totals, shrinkage).sum() - price * (bins - 1)
            best = max(best, value)
    return best


@given(
    cells=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), min_size=2, max_size=7),
    direction=st.sampled_from([1, -1, 0]),
    max_bins=st.integers(1, 5),
    least=st.tuples(st.integers(0, 12), st.integers(0, 3)),
    price=st.sampled_from([0.0, 0.05, 0.3]),
)
def test_no_other_bins_tell_more(cells, direction, max_bins, least, price):
    events = np.array([float(e) for e, _ in cells])
    counts = events + np.array([float(rest) for _, rest in cells])
    totals = events.sum() + 2, counts.sum() + 5  # some rows have no value
    edges, value = best_bins(events, counts, totals, direction, max_bins, least, 2.0, price)
    assert value == pytest.approx(brute_force(events, counts, totals, direction, max_bins, least, 2.0, price))
    e, n = np.add.reduceat(events, edges[:-1]), np.add.reduceat(counts, edges[:-1])
    told = information_values(e, n, *totals, 2.0).sum() - price * (len(e) - 1)
    assert (edges[0], edges[-1]) == (0, len(events))
    assert told == pytest.approx(value)


@pytest.mark.filterwarnings("ignore:PointsScorecard.fit. none of the 1 columns")
@given(seed=st.integers(0, 10_000), direction=st.sampled_from([1, -1]))
def test_points_rise_or_fall_as_asked(seed, direction):
    rng = np.random.default_rng(seed)
    visits = rng.integers(0, 30, 400).astype(float)
    leads = pd.DataFrame({"visits": visits, "converted": rng.random(400) < 0.2 + 0.4 * np.sin(visits / 6) ** 2})
    card = PointsScorecard(monotone={"visits": direction}, key="none").fit(leads)
    order = leads.sort_values("visits", kind="stable")["visits"]
    points = card.score_table(pd.DataFrame({"visits": order}))["points"].to_numpy()
    assert (direction * np.diff(points) >= 0).all()


def test_a_column_may_go_up_and_down_if_allowed():
    visits = np.tile(np.arange(30.0), 40)
    rng = np.random.default_rng(1)
    leads = pd.DataFrame({"visits": visits, "converted": rng.random(1200) < np.where(abs(visits - 15) < 5, 0.8, 0.1)})
    card = PointsScorecard(monotone={"visits": 0}, key="none").fit(leads)
    of = dict(zip(*card.score_table(leads)[["row_number", "points"]].to_numpy().T, strict=True))
    assert of[15] > of[0] + 40
    assert of[15] > of[29] + 40
    assert card.score(leads) > PointsScorecard(key="none").fit(leads).score(leads) + 0.1


def test_a_thousand_levels_are_grouped_by_their_outcome():
    rng = np.random.default_rng(0)
    town = rng.integers(0, 1000, 60_000)
    rate = np.where(np.arange(1000) % 10 == 0, 0.5, 0.1)
    leads = pd.DataFrame({"town": np.char.mod("town %03d", town), "converted": rng.random(60_000) < rate[town]})
    card = PointsScorecard(key="none").fit(leads)
    groups = card.scorecard_.used[0].bins.groups
    assert sum(map(len, groups)) == 1000
    best = set(groups[-1])
    assert len(best & {f"town {n:03d}" for n in range(0, 1000, 10)}) > 0.8 * len(best)
    noise = leads.assign(converted=rng.random(60_000) < 0.1)
    with pytest.warns(DataQualityWarning, match="none of the 1 columns tells more"):
        PointsScorecard(key="none").fit(noise)


def test_words_of_the_bins():
    leads = table_of()
    words = {row[0]: [] for row in records(points_table(pd.DataFrame(leads)))}
    for row in records(points_table(pd.DataFrame(leads))):
        words[row[0]].append(row[1])
    assert next(iter(words)) == "everybody"
    assert words["source"] == ["fair, web", "partner", "any other", "missing"]
    first, *between, last, missing = words["visits"]
    assert first.startswith("under ")
    assert all(word.startswith("[") and word.endswith(")") for word in between)
    assert last.endswith(" or more")
    assert missing == "missing"
    assert "colour" not in words


def test_levels_with_commas_are_told_apart():
    rng = np.random.default_rng(0)
    firm = rng.choice(["Smith, Jones", "Jones", 'the "B", Inc'], 900)
    leads = pd.DataFrame({"firm": firm, "converted": rng.random(900) < np.where(firm == "Jones", 0.7, 0.1)})
    words = [row[1] for row in records(points_table(leads, key="none")) if row[0] == "firm"]
    assert words[:2] == ['"Smith, Jones", "the ""B"", Inc"', "Jones"]


def test_missing_words_are_missing_whatever_their_case():
    leads = table_of()
    card = PointsScorecard().fit(pd.DataFrame(leads))
    rows = {(row[0], row[1]): row for row in records(card.points_table())}
    assert rows["source", "missing"][4] == int((leads["source"] == "Select").sum())
    kept = PointsScorecard(missing_words=[]).fit(pd.DataFrame(leads))
    assert any("Select" in row[1] for row in records(kept.points_table()))


# -- together ------------------------------------------------------------------------------------------------------


def test_regression_is_that_of_scikit_learn_where_no_sign_is_against_it():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 3))
    y = rng.random(400) < 1 / (1 + np.exp(-(x @ [1.0, 0.5, 0.2] - 1)))
    intercept, coefficients = agreeing_logistic(x, y.astype(float), np.ones(400), 1.0)
    peer = LogisticRegression(C=1.0, tol=1e-12, max_iter=1000).fit(x, y)
    assert coefficients == pytest.approx(peer.coef_[0], abs=1e-6)
    assert intercept == pytest.approx(peer.intercept_[0], abs=1e-6)
    against = agreeing_logistic(x * [1, 1, -1], y.astype(float), np.ones(400), 1.0)[1]
    without = agreeing_logistic(x[:, :2], y.astype(float), np.ones(400), 1.0)[1]
    assert against == pytest.approx([*without, 0.0], abs=1e-8)


def test_a_column_whose_sign_would_turn_is_left_out_and_named():
    """b says a part of what a says, and on top of a the opposite."""
    rng = np.random.default_rng(5)
    a = rng.integers(0, 10, 4000)
    b = (a + rng.integers(0, 4, 4000)).astype(float)
    leads = pd.DataFrame({"a": a, "b": b, "converted": rng.random(4000) < 1 / (1 + np.exp(-(a - 0.35 * b - 2)))})
    card = PointsScorecard(key="none").fit(leads)
    verdicts = {row[0]: row[6] for row in records(card.information_table())}
    assert verdicts == {"a": "used", "b": "adds nothing beside the other columns"}
    assert {row[0] for row in records(card.points_table())} == {"everybody", "a"}
    assert [row[5] == 0 for row in records(card.information_table())] == [False, True]


@pytest.mark.parametrize("kind", ["pandas", "polars-lazy", "duckdb"])
def test_points_add_up_to_the_score_exactly(kind):
    leads = make_frame(table_of(300), kind)
    card = PointsScorecard().fit(leads)
    scores = {row[0]: row[1] for row in records(card.score_table(leads))}
    table = card.contribution_table(leads)
    assert type(table) is type(leads)
    total = dict.fromkeys(scores, 0)
    for lead, _, _, points in records(table):
        total[lead] += points
    assert total == scores
    of_bin = {(row[0], row[1]): row[2] for row in records(card.points_table())}
    assert all(of_bin[name, word] == points for _, name, word, points in records(table))


def test_contributions_come_in_the_order_of_the_points():
    leads = pd.DataFrame(table_of())[["lead_id", "source", "visits", "converted"]]
    card = PointsScorecard().fit(leads)
    names = [row[1] for row in records(card.contribution_table(leads))[:3]]
    assert (
        names
        == list(dict.fromkeys(row[0] for row in records(card.points_table())))
        == ["everybody", "visits", "source"]
    )


def test_whole_points_cost_what_the_table_says():
    columns = pd.DataFrame(table_of())
    fine = PointsScorecard().fit(columns)
    coarse = PointsScorecard(points_to_double_odds=1).fit(columns)
    exact, whole = records(coarse.rounding_table())
    assert [exact[0], whole[0]] == ["exact", "whole points"]
    assert exact[3:] == (0.0, 0.0)
    assert 0 < whole[3] < whole[4] <= (len(coarse.scorecard_.used) + 1) / 2
    assert whole[1] == pytest.approx(coarse.score(columns))
    assert exact[1] == pytest.approx(records(fine.rounding_table())[0][1])
    assert whole[2] > exact[2]


def test_noise_gives_no_points_and_says_so():
    rng = np.random.default_rng(2)
    leads = pd.DataFrame({
        "lead_id": range(300), "a": rng.normal(size=300), "b": rng.choice(list("abcdef"), 300),
        "converted": rng.random(300) < 0.1,
    })  # fmt: skip
    with pytest.warns(DataQualityWarning, match=r"none of the 2 columns tells more than chance would, with \d+ of 300"):
        card = PointsScorecard().fit(leads)
    assert set(card.score_table(leads)["points"]) == {500}
    assert duckdb.sql(card.to_sql("leads")).fetchall() == [(n, 500) for n in range(300)]
    assert [row[4] for row in records(card.information_table())] != ["strong", "strong"]


def test_values_missing_by_chance_give_no_points():
    rng = np.random.default_rng(11)
    columns = pd.DataFrame(table_of(gaps=np.where(rng.random(1200) < 0.2, np.nan, 1.0)))
    name, bins, *_, verdict = next(
        row for row in records(PointsScorecard().fit(columns).information_table()) if row[0] == "gaps"
    )
    assert (name, bins, verdict) == ("gaps", 2, "says no more than chance does")


def test_everything_without_any_value_is_one_bin_that_says_nothing():
    columns = pd.DataFrame(table_of(empty=[None] * 1200, nan=[math.nan] * 1200))
    verdicts = {row[0]: (row[1], row[6]) for row in records(PointsScorecard().fit(columns).information_table())}
    assert verdicts["empty"] == verdicts["nan"] == (1, "says no more than chance does")


# -- SQL -----------------------------------------------------------------------------------------------------------


def odd_table(rows=900, seed=4):
    """Names and levels with every quote there is, numbers that are none, and borders that are no whole numbers."""
    rng = np.random.default_rng(seed)
    number = rng.choice([0.1, 0.2, 0.3, 0.7000000000000001, 1 / 3, 2.5e-8, 1e17, -4.0, np.nan, np.inf], rows)
    level = rng.choice(np.array(LEVELS, dtype=object), rows)
    flag = rng.choice(np.array([True, False, None], dtype=object), rows)
    odds = np.where(number > 0.25, 1.5, -0.5) + np.where(level == "it's", 1.5, 0) + np.where(flag == True, 1, -1)  # noqa: E712
    return pd.DataFrame({
        'lead "id"': [f"lead '{i:04d}'" for i in range(rows)], ODD: number, "level": level, "flag": flag,
        "visits": rng.integers(0, 9, rows), "converted": rng.random(rows) < 1 / (1 + np.exp(1 - odds)),
    })  # fmt: skip


def test_sql_gives_every_row_the_same_points():
    leads = odd_table()
    card = PointsScorecard(key='lead "id"', monotone={ODD: 0}, max_bins=9).fit(leads)
    assert {row[0] for row in records(card.points_table())} >= {ODD, "level", "flag"}
    borders = [cut for column in card.scorecard_.used if column.name == ODD for cut in column.bins.cuts]
    new = odd_table(400, seed=9)
    edge = [value for cut in borders for value in (np.nextafter(cut, -np.inf), cut, np.nextafter(cut, np.inf))]
    new.loc[: len(edge) - 1, ODD] = edge
    new.loc[300:320, "level"] = "never seen"
    new.loc[321:330, "level"] = "UNKNOWN"
    connection = duckdb.connect()
    for scored, name in ((leads, 'the "leads"'), (new, ("crm", "new leads"))):
        at = ".".join('"' + part.replace('"', '""') + '"' for part in ([name] if isinstance(name, str) else name))
        connection.execute("create schema if not exists crm")
        connection.register("incoming", scored)
        connection.execute(f"create table {at} as select * from incoming")  # noqa: S608
        found = dict(connection.execute(card.to_sql(name)).fetchall())
        assert found == {row[0]: row[1] for row in records(card.score_table(scored))}
    assert len(set(found.values())) > 10


def test_sql_of_numbers_reads_as_the_very_same_floats():
    leads = odd_table()
    sql = PointsScorecard(key="none", features=[ODD], monotone={ODD: 0}, max_bins=9).fit(leads).to_sql(key=False)
    assert sql.startswith("SELECT\n  ")
    assert "BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308" in sql
    assert 'FROM "leads"' in sql


@pytest.mark.spark
@pytest.mark.xdist_group("spark")
def test_sql_with_backslashes_gives_the_same_points_in_spark():
    pytest.importorskip("pyspark")
    leads = odd_table(300).rename(columns={ODD: "odd `name`"}).replace(np.inf, 5.0)
    leads["flag"] = leads["flag"].astype("boolean")
    card = PointsScorecard(key='lead "id"').fit(leads)
    table = make_frame({name: leads[name] for name in leads}, "pyspark")
    table.createOrReplaceTempView("odd leads".replace(" ", "_"))
    found = table.sparkSession.sql(card.to_sql("odd_leads", dialect="backslash")).collect()
    assert {row[0]: row[1] for row in found} == {row[0]: row[1] for row in records(card.score_table(leads))}


def test_blanks_of_every_kind_are_missing_in_sql_too():
    leads = pd.DataFrame(table_of())
    spelt = [" select", "SELECT\t", "\u00a0select\r\n", "", "\u00a0", "web", "fair", "partner", None, "sel\tect"]
    leads["source"] = np.resize(np.array(spelt, object), len(leads))
    leads["converted"] = leads["source"].isin(["web", "partner"]) ^ (leads["lead_id"] % 7 == 0)
    card = PointsScorecard(features=["source"]).fit(leads)
    rows = {row[1]: row for row in records(card.points_table())}
    assert rows["missing"][4] == 6 * len(leads) // 10
    assert dict(duckdb.sql(card.to_sql("leads")).fetchall()) == {r[0]: r[1] for r in records(card.score_table(leads))}


def test_sql_asks_for_no_key_that_is_not_there():
    leads = pd.DataFrame(table_of(300)).drop(columns="lead_id")
    for card in (PointsScorecard(), PointsScorecard(key=None)):
        card.fit(leads)
        with pytest.raises(SchemaError, match=r"the table learnt from had no key .* or type to_sql\(key=False\)"):
            card.to_sql()
        assert "lead_id" not in card.to_sql(key=False)


def test_whole_numbers_beyond_what_a_float_holds_are_learnt_from():
    leads = pd.DataFrame(table_of(300)).assign(phone=lambda t: 2**53 + 1 + 2 * t["lead_id"])
    assert "phone" in PointsScorecard().fit(leads).feature_names_in_


def test_sql_names_what_it_cannot_write():
    card = PointsScorecard().fit(pd.DataFrame(table_of(300)))
    with pytest.raises(SchemaError, match=r"to_sql: dialect must be one of \['standard', 'backslash'\], got 'oracle'"):
        card.to_sql(dialect="oracle")
    with pytest.raises(SchemaError, match=r"to_sql: table must be a name such as \"leads\""):
        card.to_sql(("crm", ""))


# -- frames, estimators, refusals ----------------------------------------------------------------------------------


def test_scores_and_tables_of_every_kind(frame):
    leads = frame(table_of(400))
    card = PointsScorecard().fit(leads)
    for table in (card.score_table(leads), card.points_table(), card.information_table(), card.rounding_table()):
        assert type(table) is type(leads)
    expected = PointsScorecard().fit(pd.DataFrame(table_of(400)))
    assert records(card.score_table(leads)) == records(expected.score_table(pd.DataFrame(table_of(400))))


def test_keeps_the_contract_of_estimators():
    kinds = [kind for kind in FRAME_KINDS if kind != "pyspark"]
    check_table_estimator(PointsScorecard(), {k: list(v) for k, v in table_of(300).items()}, kinds=kinds)


def test_dates_keys_and_the_outcome_are_never_learnt_from():
    leads = table_of(300, created_at=[dt.datetime(2024, 1, 1) + dt.timedelta(days=i) for i in range(300)])
    card = PointsScorecard().fit(pd.DataFrame(leads))
    assert list(card.feature_names_in_) == ["visits", "source", "colour", "is_known"]
    with pytest.raises(SchemaError, match=r"features \['created_at'\] hold no numbers, words or truth values"):
        PointsScorecard(features=["created_at"]).fit(pd.DataFrame(leads))


def test_the_outcome_by_other_names_is_never_learnt_from():
    leads = pd.DataFrame(table_of(300)).assign(stage=lambda t: np.where(t["converted"], "Won", "Lost"))
    leads["converted_at"] = np.where(leads["converted"], "2024-05-01", None)  # as text
    assert list(PointsScorecard().fit(leads).feature_names_in_) == ["visits", "source", "colour", "is_known"]
    with pytest.raises(SchemaError, match=r"features \['stage'\] hold no numbers.* or are key or outcome"):
        PointsScorecard(features=["stage", "visits"]).fit(leads)
    churn = leads.rename(columns={"converted": "churned"})
    assert "stage" in PointsScorecard(target="churned").fit(churn).feature_names_in_


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"converted": [True] * 300}, r"every row has 'converted' = True. Nothing can be learnt from one outcome"),
        ({"converted": [None, *[True, False] * 149, True]}, r"1 rows have no outcome 'converted'. Leave them out"),
        ({"converted": ["Yes", "No"] * 150}, r"expected true and false.*data\['converted'\] == 'Yes'"),
        ({"converted": [0, 2] * 150}, r"must be true or false, got \[0.0, 2.0\]"),
        ({"lead_id": [1] * 300}, r"299 rows repeat a lead_id. Keep one row each"),
        ({"visits": [[1], "a"] * 150}, r"a column holds values of several kinds"),
    ],
)
def test_says_what_is_wrong_with_a_table(change, message):
    with pytest.raises(SchemaError, match=message):
        PointsScorecard().fit(pd.DataFrame(table_of(300) | change))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_bins": 0}, r"max_bins must be a whole number of at least 1"),
        ({"min_bin_share": 5}, r"min_bin_share must be a fraction"),
        ({"shrinkage": 0}, r"shrinkage must be a number above zero"),
        ({"monotone": {"visit": 1}}, r"a column of monotone must be one of .*Did you mean 'visits'"),
        ({"monotone": {"visits": "up"}}, r"expected 1 \(rising\), -1 \(falling\) or 0 \(either\)"),
        ({"monotone": "up"}, r'monotone=\{"visits": 1\}, got \'up\''),
        ({"monotone": {"source": 1}}, r"monotone names 'source', which holds words: only numbers rise or fall"),
        ({"monotone": {"is_known": 0}}, r"monotone names 'is_known', which holds truth values"),
        ({"features": "visits"}, r"features must be a list of names such as \['visits'\], got 'visits'"),
        ({"missing_words": "Select"}, r"missing_words must be a list of words"),
        ({"max_bin": 3}, r"points_table has no option 'max_bin'. Did you mean 'max_bins'"),
    ],
)
def test_says_which_option_is_wrong(options, message):
    with pytest.raises(SchemaError, match=message):
        points_table(pd.DataFrame(table_of(300)), **options)


def test_says_which_column_is_missing_or_changed_its_kind():
    leads = pd.DataFrame(table_of())
    card = PointsScorecard().fit(leads)
    with pytest.raises(MissingColumnsError, match=r"score_table needs the columns \['visits'\].*Did you mean 'visit'"):
        card.score_table(leads.rename(columns={"visits": "visit"}))
    with pytest.raises(SchemaError, match="'visits' was numbers when it was learnt, and is now words"):
        card.score_table(leads.assign(visits="many"))
    with pytest.raises(SchemaError, match="'source' was words when it was learnt, and now it is not"):
        card.score_table(leads.assign(source=1.0))
    with pytest.raises(SchemaError, match="the table has no rows"):
        card.score_table(leads.head(0))
    unknown = leads.assign(source=None, visits=pd.Series([None] * len(leads), dtype="str"))
    assert {row[3] for row in records(card.contribution_table(unknown)) if row[1] == "visits"} == {
        row[2] for row in records(card.points_table()) if row[:2] == ("visits", "missing")
    }


def test_picture_of_the_points():
    table = points_table(pd.DataFrame(table_of()))
    seen = table[(table["row_count"] > 0) & (table["characteristic"] != "everybody")]
    ax = plot_points(table)
    assert [bar.get_width() for bar in ax.patches] == seen["points"].tolist()
    assert [text.get_text() for text in ax.get_yticklabels()] == seen["attribute"].tolist()
    with pytest.raises(MissingColumnsError, match=r"plot_points needs the columns \['points'\].*Draw points_table"):
        plot_points(table.drop(columns="points"))
