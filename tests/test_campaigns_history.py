"""What the history of campaigns promises: plan beside result, words, refusals, the picture; and the whole loop."""

import datetime as dt
import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from crmlytics import Contacts
from crmlytics._frames import to_pandas
from crmlytics.campaigns import when
from crmlytics.campaigns.learning._history_plots import GAIN, LOSS, OPEN, plot_timeline
from crmlytics.campaigns.learning.history import campaign_history_table
from crmlytics.campaigns.learning.worked import what_worked_table
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

mpl.use("Agg")
PLANS = {
    "campaign_id": [3, 1, 2, 4],
    "channel": ["letter", "mail", "mail", None],
    "started_at": [dt.datetime(2024, 6, 1), dt.datetime(2024, 3, 1), dt.datetime(2024, 5, 1), dt.datetime(2025, 1, 1)],
    "ended_at": [dt.datetime(2024, 6, 1), dt.datetime(2024, 3, 20), dt.datetime(2024, 5, 2), None],
    "planned_contact_count": [800.0, 10_000.0, 5_000.0, 100.0],
    "planned_difference": [0.05, 0.02, 0.02, 0.02],
    "planned_profit_amount": [500.0, 5_000.0, None, 10.0],
}
EFFECTS = {
    "campaign_id": [1, 2, 3, 9],
    "arm": ["offer"] * 4,
    "metric": ["converted"] * 4,
    "treated_count": [9_000, 5_000, 800, 10],
    "difference": [0.018, 0.03, 0.01, 0.0],
    "difference_low": [0.011, 0.025, -0.06, -0.1],
    "difference_high": [0.025, 0.035, 0.08, 0.1],
}
RETURNS = {
    "campaign_id": [1, 3],
    "arm": ["offer", "offer"],
    "treated_count": [9_000, 800],
    "cost_amount": [900.0, 1_200.0],
    "incremental_profit_amount": [4_000.0, -200.0],
    "incremental_profit_amount_low": [2_100.0, -1_500.0],
    "incremental_profit_amount_high": [5_900.0, 400.0],
}


def history(plans=PLANS, effects=EFFECTS, returns=RETURNS, kind="pandas", **options):
    given = [None if table is None else make_frame(table, kind) for table in (plans, effects, returns)]
    table = campaign_history_table(given[0], effects=given[1], returns=given[2], **options)
    return table.set_index("campaign_id")


def one(planned, low, high, *, difference=0.5, name="difference"):
    plans = {"campaign_id": ["a"], f"planned_{'profit_amount' if name != 'difference' else name}": [planned]}
    result = {"campaign_id": ["a"], "arm": ["x"], name: [difference], f"{name}_low": [low], f"{name}_high": [high]}
    if name == "difference":
        return history(plans, result | {"metric": ["sales"]}, None)["verdict"].item()
    return history(plans, None, result | {"cost_amount": [1.0]})["verdict"].item()


def test_plan_beside_result_by_hand_on_every_frame(frame):
    plans = frame(PLANS)
    table = campaign_history_table(plans, effects=frame(EFFECTS), returns=frame(RETURNS))
    assert type(table) is type(plans)
    rows = records(table)
    assert [row[:5] for row in rows] == [
        (1, "offer", "mail", dt.datetime(2024, 3, 1), dt.datetime(2024, 3, 20)),
        (2, "offer", "mail", dt.datetime(2024, 5, 1), dt.datetime(2024, 5, 2)),
        (3, "offer", "letter", dt.datetime(2024, 6, 1), dt.datetime(2024, 6, 1)),
        (4, None, None, dt.datetime(2025, 1, 1), None),
        (9, "offer", None, None, None),
    ]
    assert rows[0][5:] == (
        10_000.0, 9_000.0, -1_000.0, None, 900.0, None, "converted", 0.02, 0.018, 0.011, 0.025,
        pytest.approx(-0.002), 5_000.0, 4_000.0, 2_100.0, 5_900.0, -1_000.0, "as planned",
    )  # fmt: skip
    assert rows[3][5:11] == (100.0, None, None, None, None, None)
    assert [row[-1] for row in rows] == [
        "as planned", "better than planned", "worse than planned", "not measured", "no plan"]  # fmt: skip


@pytest.mark.parametrize("name", ["difference", "incremental_profit_amount"])
@pytest.mark.parametrize(
    ("planned", "low", "high", "verdict"),
    [
        (0.2, 0.3, 0.8, "better than planned"),
        (0.3, 0.3, 0.8, "as planned"),
        (0.8, 0.3, 0.8, "as planned"),
        (0.9, 0.3, 0.8, "worse than planned"),
        (0.6, -0.1, 0.8, "cannot tell"),
        (0.0, -0.1, 0.8, "as planned"),  # nothing was planned, and nothing is possible
        (0.9, -0.1, 0.8, "worse than planned"),
        (0.6, None, None, "cannot tell"),
        (None, 0.3, 0.8, "no plan"),
    ],
)
def test_every_verdict(name, planned, low, high, verdict):
    assert one(planned, low, high, name=name) == verdict


@pytest.mark.parametrize("where", ["effects", "returns"])
def test_groups_that_were_not_dealt_at_random_are_never_better_than_planned(where):
    remark = ["not comparable: the groups were not dealt at random; no ratio", "no ratio", None, None]
    tables = {"effects": EFFECTS, "returns": RETURNS}
    tables[where] = tables[where] | {"remark": remark[: len(tables[where]["arm"])]}
    table = history(**tables)
    assert table["verdict"].tolist() == ["not comparable", "better than planned", "worse than planned", "not measured",
                                         "no plan"]  # fmt: skip
    ax = plot_timeline(table.reset_index())
    assert mpl.colors.to_hex(ax.patches[0].get_facecolor()).upper() == OPEN
    mpl.pyplot.close(ax.figure)


@pytest.mark.parametrize(
    ("plan", "result", "is_alike"),
    [
        ({"campaign_id": ["Summer 24"]}, "summer_24", True),
        ({"campaign_id": ["summer", "Summer"]}, "summer", False),  # measured as planned
        ({"campaign_id": ["summer 25"]}, "summer 24", False),
        ({"campaign_id": ["Summer"], "arm": ["E-mail"]}, "summer", True),
        ({"campaign_id": ["Summer"], "arm": ["letter"]}, "summer", False),
    ],
)
def test_a_plan_and_a_result_of_nearly_the_same_name_are_told(plan, result, is_alike):
    plans = plan | {"planned_difference": [0.5] * len(plan["campaign_id"])}
    effects = {"campaign_id": [result], "arm": ["email"], "metric": ["m"], "difference": [0.5], "difference_low": [0.4],
               "difference_high": [0.6]}  # fmt: skip
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        history(plans, effects, None)
    name = ": ".join(values[0] for values in plan.values())
    words = f"the plan {name!r} has no result, and the result '{result}: email' has no plan. If they are the same, call"
    assert [words in str(one.message) for one in told] == [True] * is_alike


def test_profit_counts_before_the_difference_where_it_was_planned():
    assert history()["verdict"][3] == "worse than planned"
    assert history(returns=None)["verdict"][3] == "cannot tell"


def test_arms_planned_one_by_one():
    plans = {"campaign_id": ["a", "a"], "arm": ["x", "y"], "planned_difference": [0.5, 0.9]}
    effects = {"campaign_id": ["a", "a"], "arm": ["y", "x"], "metric": ["m", "m"], "difference": [0.5, 0.5],
               "difference_low": [0.4, 0.4], "difference_high": [0.6, 0.6]}  # fmt: skip
    table = history(plans, effects, None)
    assert table[["arm", "verdict"]].to_numpy().tolist() == [["x", "as planned"], ["y", "worse than planned"]]
    with pytest.raises(SchemaError, match=r"campaign 'a' was measured in the arms \['x', 'y'\].*Add the column 'arm'"):
        history({"campaign_id": ["a"], "planned_difference": [0.5]}, effects, None)


def test_the_metric_that_was_planned_is_compared():
    effects = {"campaign_id": ["a", "a"], "arm": ["x", "x"], "metric": ["sales", "visits"], "difference": [0.5, 7.0],
               "difference_low": [0.4, 6.0], "difference_high": [0.6, 8.0]}  # fmt: skip
    plans = {"campaign_id": ["a"], "planned_difference": [0.5]}
    assert history(plans | {"metric": ["visits"]}, effects, None)["difference"].tolist() == [7.0]
    assert history(plans, effects, None, metric="sales")["difference"].tolist() == [0.5]
    with pytest.raises(SchemaError, match=r"the metrics \['sales', 'visits'\]. Say which one counts: metric="):
        history(plans, effects, None)
    with pytest.raises(SchemaError, match=r"no effect is in metric='sale'. Did you mean 'sales'\?"):
        history(plans, effects, None, metric="sale")


def test_what_was_measured_in_another_metric_is_not_compared():
    effects = {"campaign_id": ["a", "b"], "arm": ["x", "x"], "metric": ["sales", "visits"], "difference": [0.5, 7.0],
               "difference_low": [0.4, 6.0], "difference_high": [0.6, 8.0]}  # fmt: skip
    plans = {"campaign_id": ["a", "b", "c"], "metric": ["visits"] * 3, "planned_difference": [0.5, None, 1.0]}
    table = history(plans, effects, None)
    assert table["verdict"].to_dict() == {"a": "measured otherwise", "b": "no plan", "c": "not measured"}
    assert table["difference"].fillna(-1).tolist() == [-1.0, 7.0, -1.0]
    assert table["difference_deviation"].isna().all()


@pytest.mark.parametrize("kind", ["pandas", "polars", "duckdb"])
@pytest.mark.parametrize(
    ("told", "verdicts"),
    [
        ({"currency": ["EUR", "EUR"]}, ["worse than planned", "as planned"]),
        ({"currency": [" eur", None]}, ["worse than planned", "as planned"]),
        ({"currency": ["USD", "USD"]}, ["measured otherwise", "measured otherwise"]),
        ({"unit": ["share", "points"]}, ["worse than planned", "measured otherwise"]),
    ],
)
def test_what_was_measured_in_another_unit_is_not_compared(kind, told, verdicts):
    plans = {"campaign_id": [1, 2], "unit": ["share"] * 2, "currency": ["EUR"] * 2, "planned_difference": [0.5, 0.5],
             "planned_profit_amount": [900.0, None], "planned_cost_amount": [5.0, 5.0]}  # fmt: skip
    result = {"campaign_id": [1, 2], "arm": ["x", "x"], "treated_count": [10, 20]} | told
    profit = "incremental_profit_amount"
    effects = result | {"difference": [0.5] * 2, "difference_low": [0.4] * 2, "difference_high": [0.6] * 2}
    returns = result | {
        "cost_amount": [9.0] * 2,
        profit: [3.0] * 2,
        f"{profit}_low": [2.0] * 2,
        f"{profit}_high": [4.0] * 2,
    }
    given = [make_frame(table, kind) for table in (plans, effects, returns)]
    table = to_pandas(campaign_history_table(given[0], effects=given[1], returns=given[2]))
    assert table["verdict"].tolist() == verdicts
    assert table["contact_count"].tolist() == [10.0, 20.0]  # customers are customers
    amounts = [
        "cost_amount",
        "cost_deviation_amount",
        profit,
        f"{profit}_low",
        f"{profit}_high",
        "profit_deviation_amount",
    ]
    expected = [None] * 6 if told.get("currency") == ["USD", "USD"] else [9.0, 4.0, 3.0, 2.0, 4.0, -897.0]
    assert records(table[amounts])[0] == tuple(expected)
    figures = ["difference", "difference_low", "difference_high", "difference_deviation"]
    expected = [None] * 4 if verdicts[1] == "measured otherwise" else [0.5, 0.4, 0.6, 0.0]
    assert records(table[figures])[1] == tuple(expected)


def test_a_history_is_what_learning_reads():
    table = campaign_history_table(make_frame(PLANS, "pandas"), effects=make_frame(EFFECTS, "pandas"))
    with pytest.warns(UserWarning, match="1 of 5 rows are left out"):
        found = what_worked_table(table, by="channel")
    assert found["channel"].tolist() == ["letter", "mail", "missing"]
    assert found["campaign_count"].tolist() == [1, 2, 1]


def test_the_order_of_rows_changes_nothing():
    plans, effects = pd.DataFrame(PLANS), pd.DataFrame(EFFECTS)
    pd.testing.assert_frame_equal(
        campaign_history_table(plans, effects=effects), campaign_history_table(plans[::-1], effects=effects[::-1])
    )


@pytest.mark.parametrize(
    ("plans", "effects", "error", "words"),
    [
        ({"campaign": [1]}, EFFECTS, MissingColumnsError, r"columns \['campaign_id'\]. Did you mean 'campaign'"),
        ({"campaign_id": [1, 1]}, EFFECTS, SchemaError, "campaign 1 has 2 rows in plans. Keep one of each"),
        (PLANS, {name: values * 2 for name, values in EFFECTS.items()}, SchemaError,
         "campaign 3, arm 'offer', has 2 rows in effects. Keep one of each, without segments"),
        (PLANS, {"campaign_id": [1]}, MissingColumnsError, r"needs the columns \['difference'\]"),
        (PLANS | {"started_at": ["soon"] * 4}, EFFECTS, SchemaError, "started_at must be a date"),
        ({"campaign_id": ["1"]}, EFFECTS, SchemaError, "campaign_id is String in plans, Int64 in the results. Give"),
        ({"campaign_id": ["1", None]}, EFFECTS, SchemaError, "campaign_id is missing in some rows"),
    ],
)  # fmt: skip
def test_refusals(plans, effects, error, words):
    with pytest.raises(error, match=words):
        history(plans, effects)


# -- the picture ---------------------------------------------------------------------------------------------------


def test_the_timeline_draws_when_how_large_and_what_came_of_it(frame):
    table = campaign_history_table(frame(PLANS), effects=frame(EFFECTS), returns=frame(RETURNS))
    ax = plot_timeline(table)
    bars, days = ax.patches, mpl.dates.date2num([dt.datetime(2024, 3, 1), dt.datetime(2024, 3, 20)])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1, offer", "2, offer", "3, offer", "4"]
    assert (bars[0].get_x(), bars[0].get_x() + bars[0].get_width()) == pytest.approx(tuple(days))
    assert bars[0].get_height() > bars[1].get_height() > bars[2].get_height()
    assert [mpl.colors.to_hex(bar.get_facecolor()).upper() for bar in bars] == [GAIN, GAIN, OPEN, OPEN]
    words = [text.get_text() for text in ax.texts]
    assert words[0] == "9,000 contacted, profit +4k (2.1k to 5.9k)"
    assert words[1] == "5,000 contacted, converted +0.03 (0.025 to 0.035)"
    assert words[3] == "not measured"
    mpl.pyplot.close(ax.figure)


def test_a_loss_is_red_and_the_axes_given_are_drawn_on():
    given = mpl.pyplot.subplots()[1]
    effects = EFFECTS | {"difference_low": [-0.3] * 4, "difference_high": [-0.1] * 4}
    table = campaign_history_table(make_frame(PLANS, "pandas"), effects=make_frame(effects, "pandas"))
    assert plot_timeline(table, ax=given) is given
    assert [mpl.colors.to_hex(bar.get_facecolor()).upper() for bar in given.patches] == [LOSS] * 3 + [OPEN]
    mpl.pyplot.close(given.figure)


def test_the_picture_says_what_it_needs():
    with pytest.raises(MissingColumnsError, match=r"plot_timeline needs the columns .*'started_at'"):
        plot_timeline(pd.DataFrame({"campaign_id": [1]}))
    with pytest.raises(SchemaError, match=r"no campaign has started_at\. Add it to the plans"):
        plot_timeline(campaign_history_table(pd.DataFrame({"campaign_id": [1], "planned_difference": [0.1]})))


# -- the loop ------------------------------------------------------------------------------------------------------


def shop(customers=4000):
    """Everybody's first order on 1 March; whoever is contacted buys again with .3 instead of .2."""
    random = np.random.default_rng(5)
    first = pd.DataFrame({"customer_id": range(customers), "order_id": range(customers), "amount": 20.0,
                          "timestamp": dt.datetime(2024, 3, 1, 12)})  # fmt: skip
    return first, random.random(customers)


def test_the_loop_from_trigger_to_features_of_the_next_snapshot():
    """Due, dealt, contacted, measured, remembered: and the next run and the next model know of it."""
    from crmlytics.campaigns.measuring.campaign_result import measure_campaign
    from crmlytics.campaigns.planning.assigning import assign_arms
    from crmlytics.campaigns.planning.triggers import Trigger, trigger_table
    from crmlytics.snapshots import Snapshots

    first, luck = shop()
    welcome = [Trigger("welcome", when.Order(number=1), action="mail", within="7d")]
    due = trigger_table(welcome, transactions=first, as_of="2024-03-02")
    assert due["status"].unique().tolist() == ["due"]
    dealt = assign_arms(due[["customer_id"]], campaign_id="welcome", shares={"control": 0.5, "mail": 0.5})
    is_mailed = dealt.set_index("customer_id")["arm"].sort_index().to_numpy() == "mail"
    contacts = dealt.assign(timestamp=dt.datetime(2024, 3, 2, 9), cost=0.1 * (dealt["arm"] == "mail"))
    buys = luck < np.where(is_mailed, 0.3, 0.2)
    second = first[buys].assign(order_id=lambda rows: rows["order_id"] + 10_000, timestamp=dt.datetime(2024, 3, 10))
    orders = pd.concat([first, second], ignore_index=True)
    contacts["responded"] = is_mailed & buys

    again = trigger_table(welcome, transactions=orders, contacts=contacts, as_of="2024-03-03")
    assert again["status"].unique().tolist() == ["answered"]  # control, too: nobody is dealt twice

    result = measure_campaign(contacts, orders, as_of="2024-05-01", margin_share=0.5)
    plan = pd.DataFrame({"campaign_id": ["welcome"], "planned_contact_count": [2000], "planned_difference": [0.1],
                         "planned_cost_amount": [200.0]})  # fmt: skip
    memory = campaign_history_table(plan, result, metric="converted").iloc[0]
    assert memory["verdict"] == "as planned"
    assert memory["started_at"] == memory["ended_at"] == dt.datetime(2024, 3, 2, 9)
    assert (memory["contact_count"], memory["cost_deviation_amount"]) == (2000, pytest.approx(0.0))
    assert memory["difference_low"] < 0.1 < memory["difference_high"]

    later = pd.concat([orders, first.assign(order_id=lambda rows: rows["order_id"] + 20_000,
                                            timestamp=dt.datetime(2024, 6, 1))])  # fmt: skip
    panel = Snapshots(later, cutoffs="2024-04-15", horizon="30d", contacts=Contacts(contacts)).panel_table()
    panel = panel.set_index("customer_id").sort_index()
    assert panel["contact_count"].to_numpy().tolist() == is_mailed.astype(int).tolist()  # held out: no contact
    assert panel["response_count"].to_numpy().tolist() == (is_mailed & buys).astype(int).tolist()
    before = Snapshots(later, cutoffs="2024-03-02", horizon="30d", contacts=Contacts(contacts)).panel_table()
    assert before["contact_count"].sum() == 0  # contacted at nine o'clock: the future
    labels = before.set_index("customer_id").sort_index()
    assert labels["contacted"].to_numpy().tolist() == is_mailed.tolist()
    assert labels["responded"].to_numpy().tolist() == (is_mailed & buys).tolist()
