"""What the profit curve promises: money counted by hand, costs paid for those contacted, an honest best share."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from crmlytics.campaigns.uplift._plots import plot_incremental_profit
from crmlytics.campaigns.uplift.incremental_profit import incremental_profit_table
from crmlytics.campaigns.uplift.qini import qini_table
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import records

mpl.use("Agg")

EIGHT = {
    "customer_id": list(range(8)),
    "arm": ["mail", "control"] * 4,
    "converted": [True, False, True, True, False, False, False, True],
    "uplift": [2.0] * 4 + [1.0] * 4,
}


def test_counts_by_hand_on_every_frame(frame):
    """Of the first four: 10 x 2 / 2 - 1 - 2 x 2 / 2 treated, 10 / 2 in control: 2 each. Of all: 10 / 2 - 1 - 1 - 5."""
    came = frame(EIGHT)
    table = incremental_profit_table(came, score="uplift", value=10, contact_cost=1, offer_cost=2, replicates=100)
    assert type(table) is type(came)
    rows = records(table)
    assert rows[0][:5] == ("mail", "uplift", 0.0, 0, 0.0)
    assert rows[50][3:5] == (4, pytest.approx(4 * 2.0))
    assert rows[100][3:5] == (8, pytest.approx(8 * -2.0))
    assert rows[50][7:9] == (pytest.approx(4 * -2.0), pytest.approx(4 * 2.0 + 8 * 2.0))
    assert [row[11] for row in rows] == [number == 50 for number in range(101)]


def test_prices_may_differ_by_customer():
    trial = pd.DataFrame(EIGHT).assign(margin=[10.0, 4] * 4, postage=[1.0, 99] * 4)
    table = incremental_profit_table(trial, score="uplift", value="margin", contact_cost="postage", replicates=100)
    amounts = table["incremental_profit_amount"]
    assert amounts[50] == pytest.approx(4 * ((10 + 10) / 2 - 1 - 4 / 2))  # who is not contacted needs no stamp
    assert amounts[100] == pytest.approx(8 * (20 / 4 - 1 - 8 / 4))


def test_without_prices_it_is_the_qini_curve():
    random = np.random.default_rng(0)
    columns = {"arm": random.choice(["mail", "control"], 300), "spent": random.gamma(1, 9, 300)}
    trial = pd.DataFrame({"customer_id": range(300), "uplift": random.normal(size=300)} | columns)
    profit = incremental_profit_table(trial, score="uplift", outcome="spent", replicates=100)
    curve = qini_table(trial, score="uplift", outcome="spent", replicates=100)
    for suffix in ("", "_low", "_high"):
        ours, expected = profit[f"incremental_profit_amount{suffix}"], curve[f"incremental_outcome{suffix}"]
        assert ours.to_numpy() == pytest.approx(expected.to_numpy())
    assert profit["random_profit_amount"].to_numpy() == pytest.approx(curve["random_outcome"].to_numpy())


def test_difference_from_everybody_is_paired():
    """Nearly everybody and everybody share nearly all customers: their difference is far surer than either."""
    random = np.random.default_rng(2)
    treated = np.arange(2_000) % 2 == 0
    bought = random.random(2_000) < 0.3 + 0.1 * treated
    arms = np.where(treated, "mail", "control")
    trial = pd.DataFrame({"customer_id": range(2_000), "arm": arms, "converted": bought, "u": random.random(2_000)})
    row = incremental_profit_table(trial, score="u", replicates=300).iloc[95]
    alone = row["incremental_profit_amount_high"] - row["incremental_profit_amount_low"]
    paired = row["more_than_all_amount_high"] - row["more_than_all_amount_low"]
    assert paired < 0.4 * alone
    assert row["more_than_all_amount_low"] < row["more_than_all_amount"] < row["more_than_all_amount_high"]


def test_says_what_is_wrong():
    trial = pd.DataFrame(EIGHT).assign(postage=-1.0)
    with pytest.raises(SchemaError, match=r"contact_cost must be a number of zero or more, got -1"):
        incremental_profit_table(trial, score="uplift", contact_cost=-1)
    with pytest.raises(SchemaError, match=r"contact_cost='postage' must be of zero or more, got -1"):
        incremental_profit_table(trial, score="uplift", contact_cost="postage")
    with pytest.raises(MissingColumnsError, match=r"needs the columns \['margn'\]"):
        incremental_profit_table(trial, score="uplift", value="margn")


def test_picture_names_the_best_share():
    trial = pd.DataFrame(EIGHT)
    table = incremental_profit_table(trial, score="uplift", value=10, contact_cost=1, replicates=100)
    ax = plot_incremental_profit(table)
    assert ax.get_title(loc="left") == "uplift: 16 at 50% contacted; -8 at 100%"
    assert [line.get_label() for line in ax.get_lines()][:3] == ["uplift", "random contacts", "highest"]
    assert ax.get_lines()[2].get_xydata().tolist() == [[0.5, 16.0]]
    mpl.pyplot.close(ax.figure)
    both = pd.concat([table, table.assign(arm="call")])
    ax = plot_incremental_profit(both, arm="call")
    assert ax.get_title(loc="left") == "call, uplift: 16 at 50% contacted; -8 at 100%"
    assert len(ax.get_lines()) == 4  # that of zero is the last
    mpl.pyplot.close(ax.figure)
    with pytest.raises(MissingColumnsError, match=r"draws the result of incremental_profit_table: no columns"):
        plot_incremental_profit(table.drop(columns="is_best"))
