"""What the pipeline tables promise: stages counted by hand on every frame, young leads no failures, no look ahead."""

import datetime as dt

import matplotlib as mpl
import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics import Events, Leads
from crmlytics._kernels.competing_risks import onward_interval, onward_probabilities, weigh_exits
from crmlytics.datasets._leads import STAGES, make_leads
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.leads._pipeline_plots import plot_pipeline
from crmlytics.leads.pipeline import forecast_table, loss_reason_table, pipeline_table, velocity_table
from crmlytics.testing import make_frame, records

mpl.use("Agg")


def day(number, month=1):
    return dt.datetime(2024, month, number)


AS_OF = day(1, 2)
WAY = ["New", "Contacted", "Proposal"]
LEADS = {
    "lead_id": [1, 2, 3, 4, 5, 6],
    "created_at": [day(1), day(2), day(5), day(10), day(25), day(3, 2)],
    "owner": ["ann", "ann", "bob", None, "bob", "ann"],
    "value": [500.0, 80.0, 100.0, 60.0, None, 9e9],
}
RECORDS = [  # 1 goes the whole way; 2 is lost; 3 skips a stage and goes back; 4 is lost and comes back; 5 has none yet
    (1, day(1), "New", None), (1, day(3), "Contacted", None), (1, day(8), "Proposal", None), (1, day(18), "Won", None),
    (1, day(19), "Won", None), (2, day(6), "Contacted", None), (2, day(12), "Lost", "price"),
    (3, day(9), "Proposal", None), (3, day(11), "New", None), (3, day(13), "Proposal", None),
    (4, day(12), "Lost", "no need"), (4, day(20), "Contacted", None),
    (1, day(1, 2), "Lost", "moved"), (5, day(2, 2), "Won", None), (6, day(4, 2), "New", None),  # not known yet
]  # fmt: skip
HISTORY = dict(zip(["lead_id", "timestamp", "stage", "reason"], map(list, zip(*RECORDS, strict=True)), strict=True))
OPTIONS = {"as_of": AS_OF, "stages": WAY}


def both(kind="pandas"):
    return make_frame(LEADS, kind), make_frame(HISTORY, kind)


def table_of(table):
    return pd.DataFrame(records(table), columns=nw.from_native(table).collect_schema().names())


# -- by hand, on every kind ----------------------------------------------------------------------------------------


def test_counted_by_hand_on_every_kind(frame):
    leads, history = frame(LEADS), frame(HISTORY)
    table = pipeline_table(leads, history, **OPTIONS)
    assert type(table) is type(leads)
    found = table_of(table)
    assert found["stage_number"].tolist() == [1, 2, 3]
    assert found["stage"].tolist() == WAY
    assert found["entered_count"].tolist() == [5, 4, 2]
    assert found["moved_on_count"].tolist() == [4, 2, 1]
    assert found["lost_count"].tolist() == [0, 1, 0]
    assert found["open_count"].tolist() == [1, 1, 1]
    assert found["skipped_count"].tolist() == [0, 1, 0]
    assert found["moved_back_count"].tolist() == [0, 0, 1]
    assert found["moved_on_share"].tolist() == pytest.approx([1, 2 / 3, 1])
    assert found["moved_on_probability"].tolist() == pytest.approx([1, 2 / 3, 1])  # nobody was open for less long
    assert found["median_days"].tolist() == [4.0, 5.5, 10.0]  # of 2 4 4 7+ 10; of 0 5 6 12+; of 10 23+
    assert found["win_probability"].tolist() == pytest.approx([2 / 3, 2 / 3, 1])


@pytest.mark.parametrize("kind", ["pandas", "pandas-nullable", "polars-lazy", "pyarrow", "duckdb"])
def test_open_leads_forecast_by_hand(kind):
    found = table_of(forecast_table(*both(kind), **OPTIONS, amount="value"))
    assert found["stage"].tolist() == WAY
    assert found["open_count"].tolist() == [1, 1, 1]
    assert found["without_amount_count"].tolist() == [1, 0, 0]
    assert found["open_amount"].tolist() == [0, 60, 100]
    assert found["expected_amount"].tolist() == pytest.approx([0, 40, 100])
    assert found["expected_won_count"].tolist() == pytest.approx([2 / 3, 2 / 3, 1])
    (total,) = records(forecast_table(*both(), **OPTIONS, amount="value", by=None))
    assert total[:3] == (3, 1, 160)
    assert total[4:6] == pytest.approx((7 / 3, 140))
    owners = table_of(forecast_table(*both(), **OPTIONS, amount="value", by="owner"))
    assert owners["owner"].tolist() == ["ann", "bob", "unknown"]
    assert owners["open_count"].tolist() == [0, 2, 1]
    assert owners["expected_amount"].tolist() == pytest.approx([0, 100, 40])
    assert owners["win_probability"].isna().tolist() == [True, False, False]


@pytest.mark.filterwarnings("ignore:forecast_table. 50 of 90 leads have no record")
def test_the_interval_of_a_forecast_holds_chance_and_what_few_leads_have_taught():
    ways = [["Contacted", "Won"]] * 10 + [["Contacted", "Lost"]] * 10 + [["Lost"]] * 20
    rows = [(i, day(3 + step), stage) for i, way in enumerate(ways) for step, stage in enumerate(way)]
    history = pd.DataFrame(rows, columns=["lead_id", "timestamp", "stage"])
    created = [day(1)] * 40 + [day(9)] * 50
    leads = pd.DataFrame({"lead_id": range(90), "created_at": created, "value": 10.0})
    (row,) = records(
        forecast_table(leads, history, as_of=day(10), stages=WAY[:2], amount="value", by=None, interval=0.9)
    )
    *_, expected, low, high = row
    variance = 50 * 10**2 * 0.25 * 0.75 + 125**2 * (1 / 41 + 1 / 21)  # of 40 leads half moved on, of 20 half were won
    assert expected == pytest.approx(125)
    assert (low, high) == pytest.approx((125 - 1.6448536 * variance**0.5, 125 + 1.6448536 * variance**0.5))


@pytest.mark.parametrize("kind", ["pandas", "polars-lazy", "pyarrow", "duckdb"])
def test_velocity_and_reasons_by_hand(kind):
    (row,) = records(velocity_table(*both(kind), **OPTIONS, amount="value"))
    assert row == pytest.approx((3, 1, 500, 2 / 3, 17, 3 * 500 * 2 / 3 / 17))
    owners = table_of(velocity_table(*both(kind), **OPTIONS, amount="value", by="owner"))
    assert owners["owner"].tolist() == ["ann", "bob", "unknown"]
    assert owners["amount_per_day"].tolist()[0] == 0  # nothing is open
    assert owners["amount_per_day"].isna().tolist() == [False, True, True]  # nothing is won
    reasons = records(loss_reason_table(*both(kind), **OPTIONS, amount="value"))
    assert reasons == [(2, "Contacted", "price", 1, 1.0, 1.0, 6.0, 80.0)]


@pytest.mark.filterwarnings("ignore:loss_reason_table. 1 of 3 leads have no record")
@pytest.mark.parametrize("kind", ["pandas", "polars", "polars-lazy", "pyarrow", "duckdb"])
def test_dtypes_are_the_same_on_every_kind(kind):
    tables = [
        pipeline_table(*both(kind), **OPTIONS),
        forecast_table(*both(kind), **OPTIONS, amount="value"),
        velocity_table(*both(kind), **OPTIONS, amount="value", by="owner"),
        loss_reason_table(*both(kind), **OPTIONS, amount="value"),
        loss_reason_table(*both(kind), as_of=day(7), stages=WAY),  # nobody was lost yet
    ]
    words = {"stage", "owner", "reason"}
    for table in tables:
        schema = nw.from_native(table).collect_schema()
        for name, dtype in schema.items():
            whole = name.endswith("_count") and name != "expected_won_count"
            expected = nw.String if name in words else nw.Int64 if whole or name == "stage_number" else nw.Float64
            assert dtype == expected, name


def test_the_order_of_rows_and_the_names_of_columns_do_not_matter():
    leads, history = both()
    expected = pipeline_table(leads, history, **OPTIONS)
    renamed = history.rename(columns={"lead_id": "deal", "stage": "to", "timestamp": "moved"})
    given = (
        Leads(leads.rename(columns={"lead_id": "deal"}), lead_id="deal"),
        Events(renamed.sample(frac=1, random_state=3), customer_id="deal", event="to", timestamp="moved"),
    )
    pd.testing.assert_frame_equal(pipeline_table(*given, **OPTIONS), expected)


def test_ids_of_text_and_tables_of_two_engines():
    leads, history = both()
    texts = leads.astype({"lead_id": str}), make_frame(history.assign(lead_id=history["lead_id"].astype(str)), "polars")
    expected = pipeline_table(leads, history, **OPTIONS)
    pd.testing.assert_frame_equal(pipeline_table(*texts, **OPTIONS), expected)


# -- the estimate --------------------------------------------------------------------------------------------------

spells = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["moved", "lost", "open"])), min_size=1, max_size=25)


@given(spells=spells)
def test_the_weighted_share_is_that_of_aalen_and_johansen(spells):
    time = np.array([days for days, _ in spells], float)
    moved, lost = (np.array([how == end for _, how in spells]) for end in ("moved", "lost"))
    survival, incidence = 1.0, np.zeros(2)
    for moment in sorted(set(time)):
        at_risk, ended = (time >= moment).sum(), np.array([(end & (time == moment)).sum() for end in (moved, lost)])
        incidence += survival * ended / at_risk
        survival *= 1 - ended.sum() / at_risk
    exits = weigh_exits(time, moved, lost)
    if incidence.sum() == 0:
        assert np.isnan(exits.probability)
        return
    assert exits.probability == pytest.approx(incidence[0] / incidence.sum())
    assert exits.weight @ exits.passed == pytest.approx(incidence[0] * len(spells))
    assert exits.count <= len(exits.time) + 1e-9
    (low,), (high,) = onward_interval([exits], 0.9)
    assert 0 <= low <= exits.probability <= high <= 1


def test_without_open_leads_it_is_the_plain_share_and_older_leads_are_compared_with_slow_ones():
    time = np.arange(100.0)
    moved = time < 50
    exits = weigh_exits(time, moved, ~moved)
    assert exits.probability == 0.5
    assert exits.count == pytest.approx(100)
    assert exits.probability_after(np.array([-1.0, 39.0, 49.0, 99.0])) == pytest.approx([0.5, 10 / 60, 0, 0])
    assert onward_probabilities([exits, exits]) == pytest.approx([0.25, 0.5, 1])


def test_late_losses_do_not_flatter_and_the_future_falls_within_the_forecast():
    differences, won = [], []
    for seed in range(12):
        made = make_leads(1500, days=150, random_state=seed)
        given = {"as_of": "2024-05-30", "stages": STAGES}
        table = pipeline_table(made.leads, made.stage_history, **given)
        truth = made.stages["moved_on_probability"]
        differences.append([table[name] - truth for name in ("moved_on_share", "moved_on_probability")])
        forecast = forecast_table(made.leads, made.stage_history, **given, amount="deal_amount", by=None).iloc[0]
        is_open = ~made.leads["stage"].isin(["Won", "Lost"])
        comes = made.leads["deal_amount"][is_open & made.truth["conversion_days"].notna()].sum()
        won.append((comes / forecast["expected_amount"],
                    forecast["expected_amount_low"] < comes < forecast["expected_amount_high"]))  # fmt: skip
    naive, ours = np.mean(differences, axis=0)
    assert naive[1] > 0.015
    assert np.abs(ours).max() < 0.01
    assert np.mean([ratio for ratio, _ in won]) == pytest.approx(1, abs=0.06)
    assert np.mean([inside for _, inside in won]) >= 0.8


# -- no look ahead, and what is refused ----------------------------------------------------------------------------


@given(
    future=st.lists(
        st.tuples(st.integers(1, 6), st.integers(0, 40), st.sampled_from([*WAY, "Won", "Lost"])), max_size=12
    )
)
def test_nothing_at_or_after_as_of_is_read(future):
    leads, history = both()
    known = history[history["timestamp"] < AS_OF]
    later = pd.DataFrame(
        [(lead, AS_OF + dt.timedelta(days=days), stage, "poison") for lead, days, stage in future],
        columns=history.columns,
    )
    poisoned = pd.concat([known, later]) if future else known
    more = pd.concat([leads, leads.tail(1).assign(lead_id=7, created_at=AS_OF)])
    pd.testing.assert_frame_equal(pipeline_table(more, poisoned, **OPTIONS), pipeline_table(leads, known, **OPTIONS))
    expected = forecast_table(leads, known, **OPTIONS, amount="value")
    pd.testing.assert_frame_equal(forecast_table(more, poisoned, **OPTIONS, amount="value"), expected)


def test_stages_that_were_not_named_are_told():
    leads, history = both()
    with pytest.warns(DataQualityWarning, match=r"records of stages not named are left out: 'Contacted' 3\. Name them"):
        table = pipeline_table(leads, history, as_of=AS_OF, stages=["New", "Proposal"])
    assert table["entered_count"].tolist() == [5, 2]


def test_leads_without_records_and_records_without_leads_are_told():
    leads, history = both()
    with pytest.warns(DataQualityWarning) as told:
        table = pipeline_table(leads, history[history["lead_id"] < 3].replace({"lead_id": {2: 99}}), **OPTIONS)
    text = " ".join(str(one.message) for one in told)
    assert "2 of 7 records are of leads that are not in the table, and left out" in text
    assert "4 of 5 leads have no record before as_of and count as open in 'New' since their creation" in text
    assert table["open_count"].tolist() == [4, 0, 0]


def test_ends_by_another_name_are_refused():
    leads, history = both()
    closed = history.replace({"stage": {"Won": "Closed Won", "Lost": "Closed Lost"}})
    with pytest.raises(
        SchemaError, match=r"no stage won=\['Won'\]\. It has \['Closed Won'\]: type won=\['Closed Won'\]"
    ):
        pipeline_table(leads, closed, **OPTIONS)
    with pytest.raises(SchemaError, match=r"no stage lost=\['Lost'\]\. It has \['Closed Lost'\]"):
        pipeline_table(leads, closed, **OPTIONS, won="Closed Won")
    with pytest.raises(SchemaError, match=r"no stage lost=\['Lots'\]\. It has \['Lost'\]"):
        pipeline_table(leads, history, **OPTIONS, lost="Lots")
    expected = pipeline_table(leads, history, **OPTIONS)
    named = pipeline_table(leads, closed, **OPTIONS, won=["Won", "Closed Won"], lost="Closed Lost")
    pd.testing.assert_frame_equal(named, expected)
    young = history[~history["stage"].isin(["Won", "Lost"])]
    assert pipeline_table(leads, young, **OPTIONS)["lost_count"].tolist() == [0, 0, 0]  # nothing has ended yet


def test_says_what_is_wrong_with_the_stages():
    leads, history = both()
    with pytest.raises(SchemaError, match=r"'Propsal' is not in it\. Did you mean 'Proposal'\?"):
        pipeline_table(leads, history, as_of=AS_OF, stages=["New", "Contacted", "Propsal"])
    with pytest.raises(SchemaError, match=r"none of the stages \['a', 'b'\] is in the history"):
        pipeline_table(leads, history, as_of=AS_OF, stages=["a", "b"])
    with pytest.raises(
        SchemaError, match=r"stages must be a list in order such as \[\"New\", \"Proposal\"\], got 'New'"
    ):
        pipeline_table(leads, history, as_of=AS_OF, stages="New")
    with pytest.raises(SchemaError, match=r"stages, won and lost must be names, got .* None and 'Lost'"):
        pipeline_table(leads, history, as_of=AS_OF, stages=["New"], won=None)
    with pytest.raises(SchemaError, match=r"\['Won'\] appear more than once among stages, won and lost"):
        pipeline_table(leads, history, as_of=AS_OF, stages=["New", "Won"])


def test_says_what_is_wrong_with_the_tables():
    leads, history = both()
    with pytest.raises(SchemaError, match=r"lead_id is Int64 in Leads, String in the history"):
        pipeline_table(leads, history.astype({"lead_id": str}), **OPTIONS)
    with pytest.raises(SchemaError, match=r"no record before as_of in the history is of these leads"):
        pipeline_table(leads, history.assign(lead_id=history["lead_id"] + 90), **OPTIONS)
    with pytest.raises(SchemaError, match=r"no lead was created before as_of"):
        pipeline_table(leads, history, as_of="2023-01-01", stages=WAY)
    with pytest.raises(MissingColumnsError, match=r"no column amount='valu'\. Did you mean 'value'\?"):
        forecast_table(leads, history, **OPTIONS, amount="valu")
    with pytest.raises(SchemaError, match=r"amount='owner' holds String, expected numbers"):
        forecast_table(leads, history, **OPTIONS, amount="owner")
    with pytest.raises(SchemaError, match=r"amount='value' has negative values"):
        forecast_table(leads.assign(value=-1.0), history, **OPTIONS, amount="value")
    with pytest.raises(SchemaError, match=r"amount='value' has infinite values"):
        forecast_table(
            leads.assign(value=[1.0, np.inf, 2.0, 3.0, 4.0, 5.0][: len(leads)]), history, **OPTIONS, amount="value"
        )
    with pytest.raises(MissingColumnsError, match=r"the history has no column reason='why'"):
        loss_reason_table(leads, history, **OPTIONS, reason="why")
    with pytest.raises(SchemaError, match=r"by must be one of \['stage', 'source', 'owner'\], got 'country'"):
        forecast_table(leads, history, **OPTIONS, amount="value", by="country")


def test_a_stage_that_nobody_has_left_says_nothing():
    leads = pd.DataFrame({"lead_id": [1], "created_at": [day(1)], "value": [5.0]})
    history = pd.DataFrame({"lead_id": [1], "timestamp": [day(2)], "stage": ["Contacted"]})
    table = pipeline_table(leads, history, **OPTIONS)
    assert table["open_count"].tolist() == [0, 1, 0]
    assert table["moved_on_probability"].isna().tolist() == [False, True, True]
    assert table["win_probability"].isna().all()
    assert table["median_days"].isna().tolist() == [False, True, True]
    assert np.isnan(forecast_table(leads, history, **OPTIONS, amount="value")["expected_amount"][1])


def test_a_lead_created_in_a_later_stage_has_skipped_those_before():
    leads = pd.DataFrame({"lead_id": [1, 2], "created_at": [day(3), day(3)]})
    history = pd.DataFrame({"lead_id": [1, 2], "timestamp": [day(3), day(4)], "stage": ["Contacted"] * 2})
    table = pipeline_table(leads, history, as_of=AS_OF, stages=WAY[:2])
    assert table["entered_count"].tolist() == [2, 2]
    assert table["skipped_count"].tolist() == [1, 0]  # the other was in the first stage for a day
    assert table["median_days"][0] == 0.5


def test_the_picture_shows_a_bar_a_stage_and_says_where_it_comes_from():
    table = pipeline_table(*both(), **OPTIONS)
    ax = plot_pipeline(table)
    assert [label.get_text() for label in ax.get_yticklabels()] == WAY
    widths = [[bar.get_width() for bar in bars] for bars in ax.containers]
    assert widths == [[4, 2, 1], [1, 1, 1], [0, 1, 0]]
    assert [text.get_text() for text in ax.texts] == ["100% move on, 4.0 days", "67% move on, 5.5 days",
                                                      "100% move on, 10 days"]  # fmt: skip
    with pytest.raises(MissingColumnsError, match=r"plot_pipeline needs the columns \['median_days'\]"):
        plot_pipeline(table.drop(columns="median_days"))
