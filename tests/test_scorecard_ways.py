"""What the scorecard says of ways: partners and channels under the names that their own tables have."""

import datetime as dt

import pandas as pd
import pytest

from crmlytics import Transactions
from crmlytics.channels.preferred import preferred_channel_table
from crmlytics.partners.performance import partner_table
from crmlytics.scorecard._part import Request
from crmlytics.scorecard._ways import channel_part, partner_part
from crmlytics.testing import make_frame

AS_OF = dt.datetime(2024, 3, 31)
NAMES = ["x ", " x", "  ", "y", None, ""]
SALES = {
    "customer_id": [1, 1, 2, 3, 4, 5],
    "order_id": list(range(6)),
    "timestamp": [AS_OF - dt.timedelta(days=9 - place) for place in range(6)],
    "amount": [5.0] * 6,
    "partner_id": NAMES,
    "channel": NAMES,
}


def told(part, name):
    return [None if pd.isna(value) else value for value in part.table.sort("customer_id")[name].to_list()]


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "duckdb"])
def test_a_name_is_the_same_in_the_scorecard_as_in_its_own_table(kind):
    sales = make_frame(SALES, kind)
    request = Request(Transactions(sales), AS_OF, 90)
    sellers = ["x", "(direct)", "y", "(direct)", "(direct)"]
    partners = partner_part(request, None)
    assert told(partners, "main_partner") == told(partners, "first_partner") == sellers
    table = partner_table(pd.DataFrame(SALES), as_of=AS_OF, window="9d", replicates=20)
    assert table["partner_id"].tolist() == ["(direct)", "x", "y"]
    channels = channel_part(request, None)
    known = ["x", None, "y", None, None]
    assert told(channels, "preferred_channel") == told(channels, "acquisition_channel") == known
    preferred = preferred_channel_table(pd.DataFrame(SALES), as_of=AS_OF)["preferred_channel"]
    assert [None if pd.isna(name) else name for name in preferred] == known
