"""What a part of the scorecard promises: its topic's values, optional tables, and reasons when empty."""

import datetime as dt
import warnings

import numpy as np
import pandas as pd
import pytest

import crmlytics as crm
from crmlytics._frames import to_pandas
from crmlytics.exceptions import DataQualityWarning, SchemaError
from crmlytics.scorecard import score_customers, scorecard_table
from crmlytics.scorecard._part import Request
from crmlytics.scorecard._ways import channel_part, partner_part
from crmlytics.segmentation import CustomerSegmenter
from crmlytics.testing import make_frame

AS_OF = "2024-12-01"
BASE = crm.datasets.make_transactions(customers=300, random_state=7).transactions
IDS = sorted(BASE.loc[BASE["timestamp"] < AS_OF, "customer_id"].unique())
TICKETS = {
    "ticket_id": [1, 2, 3, 4],
    "customer_id": [IDS[0], IDS[0], IDS[1], IDS[2]],
    "opened_at": [
        dt.datetime(2024, 11, 1),
        dt.datetime(2024, 2, 1),
        dt.datetime(2024, 11, 2),
        dt.datetime(2024, 12, 1),
    ],
}  # the last one is not known yet
CONTACTS = {
    "customer_id": [IDS[0], IDS[1], 999_999],
    "campaign_id": ["spring"] * 3,
    "timestamp": [dt.datetime(2024, 3, 1)] * 3,
    "arm": ["mail", "control", "mail"],
}
COSTS = {"order": 2.0, "return": 5.0, "ticket": 6.0, "contact": 0.5}


@pytest.fixture(scope="module")
def card():
    return score_customers(BASE, as_of=AS_OF)


@pytest.fixture(scope="module")
def with_service(card):
    tables = {"segmenter": card.segmenter, "tickets": pd.DataFrame(TICKETS), "contacts": pd.DataFrame(CONTACTS)}
    return score_customers(BASE, as_of=AS_OF, costs=COSTS, **tables)


def told(card, column):
    """Return the row of the guide as a dictionary."""
    return card.guide.set_index("column").loc[column].to_dict()


def small(**columns):
    """Four orders of three customers, who bought goods of two kinds; one of c came back."""
    lines = {
        "customer_id": ["a", "a", "b", "c", "c"],
        "order_id": [1, 2, 3, 4, 5],
        "timestamp": [dt.datetime(2024, 1, day) for day in (1, 20, 10, 5, 9)],
        "product_id": ["p", "q", "p", "p", "p"],
        "amount": [30.0, 10.0, 20.0, 8.0, -2.0],
    }
    return lines | columns


# -- stage, habits, tenths ---------------------------------------------------------------------------------------------


def test_the_stage_is_that_of_the_life_cycle(card):
    stages = crm.segmentation.lifecycle_table(BASE, as_of=AS_OF).set_index("customer_id")
    scores = card.scores.set_index("customer_id").loc[stages.index]
    assert scores["stage"].tolist() == stages["stage"].tolist()
    assert scores["stage"].nunique() >= 3
    for column in ("usual_interval_days", "silence_ratio"):
        np.testing.assert_allclose(scores[column], stages[column])


def test_habits_counted_by_hand_on_every_engine(frame):
    discounts = [10.0, 0.0, None, -2.0, 0.0]
    lines = frame(small(discount_amount=discounts, category=["x", "y", "x", None, "x"]))
    table = to_pandas(scorecard_table(lines, as_of="2024-02-01"))
    assert table["returned_share"].tolist() == [0.0, 0.0, 0.25]
    assert table["discount_share"].tolist() == [0.2, 0.0, 0.2]
    assert table["product_count"].tolist() == [2, 1, 1]
    assert table["category_count"].tolist() == [2, 1, 0]  # c's only purchase has no category
    assert table["value_decile"].tolist() == [1, 4, 7]


def test_habits_without_their_roles_are_not_there():
    lines = small()
    del lines["product_id"]
    columns = scorecard_table(pd.DataFrame(lines), as_of="2024-02-01").columns
    assert not {"discount_share", "product_count", "category_count"} & set(columns)


def test_products_tell_the_category_of_lines_that_have_none(frame):
    products = frame({"product_id": ["p", "q"], "category": ["x", "x"]})
    table = to_pandas(scorecard_table(frame(small()), as_of="2024-02-01", products=products))
    assert table["category_count"].tolist() == [1, 1, 1]


def test_tenths_are_those_of_the_decile_table(card):
    deciles = crm.value.value_decile_table(card.scores, amount="total_amount")
    found = card.scores.groupby("value_decile")["total_amount"].agg(["size", "sum"])
    assert found["size"].tolist() == deciles["customer_count"].tolist()
    np.testing.assert_allclose(found["sum"], deciles["total_amount"])


# -- now and later -----------------------------------------------------------------------------------------------------


def test_value_groups_set_the_last_days_against_the_next(card):
    scores = card.scores
    recent = BASE[(BASE["timestamp"] >= "2024-09-02") & (BASE["timestamp"] < AS_OF)]  # 90 days
    spent = recent.groupby("customer_id")["amount"].sum().reindex(scores["customer_id"], fill_value=0.0).to_numpy()
    np.testing.assert_allclose(scores["current_amount"], spent, atol=1e-9)
    np.testing.assert_allclose(scores["growth_amount"], scores["expected_revenue_amount"] - spent, atol=1e-9)
    worth = scores.assign(now=spent)
    matrix = crm.value.value_matrix_table(worth, current="now", potential="expected_revenue_amount")
    assert scores["value_group"].tolist() == matrix["value_group"].tolist()
    assert scores["action"].tolist() == matrix["action"].tolist()
    assert told(card, "current_amount")["meaning"] == "Revenue of the last 90 days, returns taken off"


def test_with_a_margin_both_sides_are_margin_and_groups_stay(card):
    found = score_customers(BASE, as_of=AS_OF, margin=0.25, segmenter=card.segmenter)
    for column in ("current_amount", "growth_amount"):
        np.testing.assert_allclose(found.scores[column], 0.25 * card.scores[column], atol=1e-9)
    assert found.scores["value_group"].tolist() == card.scores["value_group"].tolist()
    assert told(found, "current_amount")["meaning"].startswith("Margin of the last 90 days")


def test_with_costs_both_sides_are_contribution(with_service, card):
    first = with_service.scores.iloc[0]
    recent = crm.value.contribution_table(
        BASE,
        as_of=AS_OF,
        since="2024-09-02",
        costs=COSTS,
        tickets=pd.DataFrame(TICKETS),
        contacts=pd.DataFrame(CONTACTS),
    )
    now = recent.set_index("customer_id").loc[IDS[0]]
    assert first["current_amount"] == pytest.approx(now["contribution_amount"])
    later = card.scores.iloc[0]["expected_revenue_amount"] - now["service_cost_amount"]
    assert first["growth_amount"] == pytest.approx(later - first["current_amount"])
    assert told(with_service, "current_amount")["meaning"].startswith("Contribution of the last 90 days")


def test_who_costs_more_than_they_will_bring_is_below_zero(card):
    dear = {name: values * 40 for name, values in TICKETS.items() if name != "ticket_id"}
    tickets = pd.DataFrame(dear | {"ticket_id": range(160)})
    costs = {"ticket": 500.0}
    table = scorecard_table(BASE, as_of=AS_OF, tickets=tickets, costs=costs, segmenter=card.segmenter)
    scores = table.set_index("customer_id")
    assert scores.loc[IDS[0], "value_group"] == "below zero"
    assert scores.loc[IDS[1], "value_group"] == "below zero"
    assert scores.loc[IDS[2], "value_group"] != "below zero"  # their tickets are of the future


def test_the_margin_on_goods_is_that_of_the_lines(card):
    lines = BASE.assign(cost=0.6 * BASE["amount"])
    scores = scorecard_table(lines, as_of=AS_OF, segmenter=card.segmenter)
    np.testing.assert_allclose(scores["margin_amount"], 0.4 * scores["total_amount"])
    np.testing.assert_allclose(scores["current_amount"], 0.4 * card.scores["current_amount"], atol=1e-9)
    np.testing.assert_allclose(scores["growth_amount"], 0.4 * card.scores["growth_amount"], atol=1e-6)
    assert "service_cost_amount" not in scores.columns


def test_what_is_counted_stays_where_nothing_is_expected():
    found = score_customers(pd.DataFrame(small()), as_of="2024-02-01", horizon="30d")
    assert found.scores["current_amount"].tolist() == [10.0, 20.0, 6.0]
    assert found.scores[["growth_amount", "value_group", "action"]].isna().all().all()
    for column in ("growth_amount", "value_group", "action"):
        assert "Not made: no revenue is expected of anybody" in told(found, column)["certainty"]


# -- cost to serve -----------------------------------------------------------------------------------------------------


def test_contribution_is_that_of_its_topic(with_service):
    tables = {"tickets": pd.DataFrame(TICKETS), "contacts": pd.DataFrame(CONTACTS)}
    table = crm.value.contribution_table(BASE, as_of=AS_OF, costs=COSTS, **tables)
    expected = table.set_index("customer_id").loc[IDS]
    columns = ["return_count", "ticket_count", "contact_count", "service_cost_amount", "contribution_amount"]
    for column in [*columns, "contribution_ratio"]:
        np.testing.assert_allclose(with_service.scores[column], expected[column], err_msg=column)
    assert with_service.scores["ticket_count"].tolist()[:3] == [2, 1, 0]  # the day itself is not known
    assert with_service.scores["contact_count"].tolist()[:2] == [1, 0]  # the control group was not contacted


def test_the_cost_of_people_without_a_row_is_told(with_service):
    words = "1 with tickets or contacts and no order line have no row here; they cost 0.50."
    assert words in told(with_service, "contribution_amount")["certainty"]
    assert 999_999 not in with_service.scores["customer_id"].tolist()


def test_a_margin_stands_in_for_the_cost_of_goods(card):
    found = score_customers(BASE, as_of=AS_OF, margin=0.25, costs={"order": 2.0}, segmenter=card.segmenter)
    scores = found.scores
    np.testing.assert_allclose(
        scores["contribution_amount"], 0.25 * scores["total_amount"] - 2.0 * scores["order_count"]
    )
    assert "goods (all but the margin)" in told(found, "contribution_amount")["meaning"]


def test_without_costs_nothing_is_said_of_service(card):
    assert not card.scores.columns.str.contains("service|contribution|ticket|contact").any()


@pytest.mark.parametrize("kind", ["polars-lazy", "duckdb", "pyarrow"])
def test_the_optional_tables_on_other_engines(card, with_service, kind):
    columns = ["customer_id", "order_id", "timestamp", "product_id", "quantity", "unit_price", "amount"]
    orders = make_frame({name: BASE[name].tolist() for name in columns}, kind)
    given = {name: make_frame(table, kind) for name, table in (("tickets", TICKETS), ("contacts", CONTACTS))}
    people = make_frame({"customer_id": IDS[:2], "region": ["north", "south"], "age": [30, 40]}, kind)
    found = to_pandas(
        scorecard_table(orders, as_of=AS_OF, costs=COSTS, customers=people, segmenter=card.segmenter, **given)
    )
    expected = with_service.scores
    assert found.columns.tolist() == [*expected.columns, "region", "age"]
    for column in expected.columns:
        if pd.api.types.is_numeric_dtype(expected[column]):
            np.testing.assert_allclose(found[column].astype(float), expected[column], rtol=1e-5, err_msg=column)
        else:
            assert found[column].tolist() == expected[column].tolist()
    assert found["region"].tolist()[:2] == ["north", "south"]
    assert found["region"].isna().sum() == len(IDS) - 2


# -- who they are ------------------------------------------------------------------------------------------------------


def test_attributes_are_those_on_record_before_the_day():
    people = pd.DataFrame({
        "customer_id": ["a", "a", "b"],
        "plan": ["basic", "gold", "basic"],
        "valid_from": pd.to_datetime(["2023-01-01", "2024-02-01", "2023-01-01"]),
    })  # fmt: skip
    found = score_customers(pd.DataFrame(small()), as_of="2024-02-01", customers=people)
    assert found.scores["plan"].tolist()[:2] == ["basic", "basic"]
    assert found.scores["plan"].isna().tolist() == [False, False, True]
    assert told(found, "plan")["certainty"] == "As on record just before 2024-02-01."


def test_attributes_called_like_a_score_are_left_out_and_told():
    people = pd.DataFrame({"customer_id": ["a"], "segment": ["VIP"], "plan": ["gold"]})
    with pytest.warns(DataQualityWarning, match=r"scorecard: it makes \['segment'\] itself, so those of customers are"):
        table = scorecard_table(pd.DataFrame(small()), as_of="2024-02-01", customers=people)
    assert "VIP" not in set(table["segment"])
    assert table["plan"].iloc[0] == "gold"


# -- alike -------------------------------------------------------------------------------------------------------------


def two_kinds(seed=3):
    """Return orders of 150 who buy often and cheaply and of 150 who buy rarely and dearly."""
    rng, start = np.random.default_rng(seed), pd.Timestamp("2023-01-01")
    parts = []
    for first, gap, amount in ((0, 12, 10.0), (150, 90, 400.0)):
        for customer in range(first, first + 150):
            days = np.cumsum(rng.integers(gap // 2, 2 * gap, 60))
            days = days[days < 720]
            spent = amount * rng.lognormal(0, 0.2, len(days))
            parts.append(pd.DataFrame({"customer_id": customer, "timestamp": start + pd.to_timedelta(days, unit="D"),
                                       "amount": spent}))  # fmt: skip
    orders = pd.concat(parts, ignore_index=True)
    return orders.assign(order_id=orders.index)


@pytest.fixture(scope="module")
def kinds():
    with warnings.catch_warnings(action="ignore"):  # of fits: nobody leaves in these data
        return score_customers(two_kinds(), as_of="2024-12-20")


def test_customers_who_buy_alike_are_found_and_named(kinds):
    scores = kinds.scores
    halves = [scores.loc[scores["customer_id"] < 150, "behaviour_segment"],
              scores.loc[scores["customer_id"] >= 150, "behaviour_segment"]]  # fmt: skip
    assert not set(halves[0]) & set(halves[1])
    assert "high average_order_amount" in "; ".join(halves[1].unique())
    assert scores["behaviour_probability"].between(0.3, 1).all()
    assert "found again in other samples" in told(kinds, "behaviour_segment")["certainty"]


def test_the_segmenter_keeps_segments_from_month_to_month(kinds):
    with warnings.catch_warnings(action="ignore"):
        later = score_customers(two_kinds(seed=4), as_of="2024-11-20", segmenter=kinds.segmenter)
    assert set(later.scores["behaviour_segment"]) <= set(kinds.segmenter.segment_names_)
    assert later.segmenter is kinds.segmenter
    assert "Groups learnt before" in told(later, "behaviour_segment")["certainty"]


def test_ones_own_segmenter_may_take_any_columns_of_the_scorecard(card):
    own = CustomerSegmenter(segments=3, features=["recency_days", "product_count"]).fit(card.scores)
    scores = scorecard_table(BASE, as_of=AS_OF, segmenter=own)
    assert scores["behaviour_segment"].tolist() == own.score_table(card.scores)["segment"].tolist()


def test_one_cloud_has_no_segments_and_the_guide_says_so():
    rng = np.random.default_rng(0)  # everybody orders on some of the same days, at random, for much the same
    rows = [(customer, day) for customer in range(120) for day in rng.choice(300, 12, replace=False)]
    orders = pd.DataFrame(rows, columns=["customer_id", "day"])
    orders["timestamp"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(orders["day"], unit="D")
    orders = orders.assign(order_id=orders.index, amount=rng.normal(50, 5, len(orders)))
    with warnings.catch_warnings(action="ignore"):
        found = score_customers(orders, as_of="2024-10-28")
    assert found.scores[["behaviour_segment", "behaviour_probability"]].isna().all().all()
    assert found.segmenter is None
    assert told(found, "behaviour_segment")["certainty"].startswith("No groups: one cloud.")


def test_where_nobody_differs_there_are_no_segments():
    lines = pd.DataFrame({
        "customer_id": range(120), "order_id": range(120), "timestamp": pd.Timestamp("2024-01-01"), "amount": 5.0,
    })  # fmt: skip
    found = score_customers(lines, as_of="2024-02-01")
    assert found.scores["behaviour_segment"].isna().all()
    assert told(found, "behaviour_segment")["certainty"].startswith("Not looked for:")


def test_who_never_ordered_has_no_behaviour(card):
    ghost = BASE.iloc[[0]].assign(customer_id=999_999, amount=-5.0, quantity=-1, timestamp=pd.Timestamp("2024-05-01"))
    scores = scorecard_table(pd.concat([BASE, ghost]), as_of=AS_OF).set_index("customer_id")
    empty = ["stage", "silence_ratio", "returned_share", "value_group", "action", "behaviour_segment"]
    assert scores.loc[999_999, empty].isna().all()
    assert scores.loc[999_999, "current_amount"] == 0.0
    assert scores.loc[IDS, "stage"].tolist() == card.scores["stage"].tolist()


# -- everything --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amounts", "costs"), [([10.0], None), ([10.0, 5.0, 7.0], {"order": 1.0}), ([-10.0, -5.0], {"return": 1.0})]
)
def test_small_bases_have_all_columns_on_every_engine(frame, amounts, costs):
    n = len(amounts)
    moments = [dt.datetime(2024, 1, 5 + day) for day in range(n)]
    lines = {"customer_id": [f"c{i}" for i in range(n)], "order_id": list(range(n)), "timestamp": moments}
    found = score_customers(frame(lines | {"amount": amounts}), as_of="2024-03-01", costs=costs)
    table, guide = to_pandas(found.scores), to_pandas(found.guide)
    assert len(table) == n
    assert table.columns.tolist()[1:] == guide["column"].tolist()
    assert ("contribution_amount" in table.columns) == (costs is not None)
    assert table[["growth_amount", "value_group", "behaviour_segment"]].isna().all().all()
    certainty = dict(zip(guide["column"], guide["certainty"], strict=True))
    buyers = sum(amount > 0 for amount in amounts)
    assert certainty["behaviour_segment"] == f"Not looked for: {buyers} who ordered, at least 100 are needed."
    assert ("Empty: nobody made a purchase." in certainty["stage"]) == (buyers == 0)


def test_what_happens_later_changes_nothing_in_any_table(card, with_service):
    poison = BASE.iloc[:50].assign(timestamp=pd.Timestamp(AS_OF), amount=1e9, product_id=-1)
    tickets = pd.concat([pd.DataFrame(TICKETS), pd.DataFrame(TICKETS).assign(
        ticket_id=range(10, 14), opened_at=pd.Timestamp(AS_OF))])  # fmt: skip
    contacts = pd.concat([pd.DataFrame(CONTACTS), pd.DataFrame(CONTACTS).assign(timestamp=pd.Timestamp("2025-01-01"))])
    found = score_customers(
        pd.concat([BASE, poison]),
        as_of=AS_OF,
        costs=COSTS,
        tickets=tickets,
        contacts=contacts,
        segmenter=card.segmenter,
    )
    pd.testing.assert_frame_equal(found.scores, with_service.scores)
    pd.testing.assert_frame_equal(found.guide, with_service.guide)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"contacts": pd.DataFrame(CONTACTS)}, r"contacts came without what one costs. Say it: costs=\{\"contact\""),
        ({"costs": {"parcel": 1.0}}, r"costs has 'parcel'.*Activities: \['order', 'return', 'ticket', 'contact'\]"),
        ({"segmenter": CustomerSegmenter()}, r"segmenter must be a fitted CustomerSegmenter such as score_customers"),
        (
            {"customers": make_frame({"customer_id": IDS[:2]}, "polars")},
            r"transactions is a pandas table and customers a Polars table",
        ),
        ({"customers": pd.DataFrame({"customer_id": ["1"]})}, r"Int64 in Transactions, String in Customers"),
        ({"customers": pd.DataFrame({"customer_id": [1, 1]})}, r"one row each, but \[1\] appear more than once"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_are_refused(given, message):
    with pytest.raises(SchemaError, match=message):
        score_customers(BASE, as_of=AS_OF, **given)


def test_online_retail_with_its_dirt(shared_data):
    raw = pd.read_parquet(shared_data / "online_retail.parquet")
    with pytest.warns(DataQualityWarning, match="lines set aside"):
        tx = crm.Transactions(
            raw, customer_id="CustomerID", order_id="InvoiceNo", timestamp="InvoiceDate", product_id="StockCode",
            quantity="Quantity", unit_price="UnitPrice",
        )  # fmt: skip
    with pytest.warns(DataQualityWarning, match="no dropout found"):
        found = score_customers(tx, as_of="2011-12-10", costs={"order": 4.5, "return": 8.0})
    scores = found.scores
    assert scores.columns.tolist()[1:] == found.guide["column"].tolist()
    kept = tx.audit.loc[1, "amount"]
    assert scores["total_amount"].sum() == pytest.approx(kept, abs=0.01)
    cost = scores["total_amount"].sum() - scores["contribution_amount"].sum()
    assert cost == pytest.approx(4.5 * scores["order_count"].sum() + 8.0 * scores["return_count"].sum(), abs=0.01)
    assert scores["value_group"].notna().equals(scores["expected_revenue_amount"].notna())
    named = scores.loc[scores["order_count"] > 0, "behaviour_segment"].notna()
    assert named.all() if found.segmenter is not None else not named.any()


# -- channels, partners, support ---------------------------------------------------------------------------------------


WAYS = {"channel": ["web", "shop", None, "web", "shop"], "partner_id": [7, None, None, 8, 8]}


def test_ways_counted_by_hand_on_every_engine(frame):
    request = Request(crm.Transactions(frame(small(**WAYS))), dt.datetime(2024, 2, 1), 90)
    channels, partners = (build(request, None).table.to_pandas() for build in (channel_part, partner_part))
    table = channels.merge(partners, on="customer_id").sort_values("customer_id")
    assert table["preferred_channel"].tolist()[0] == "shop"  # of equals the one of the last order
    assert table["preferred_channel"].isna().tolist() == [False, True, False]
    assert table["channel_count"].tolist() == [2, 0, 1]  # what came back is no order
    assert table["acquisition_channel"].tolist()[::2] == ["web", "web"]
    assert table["main_partner"].tolist() == ["(direct)", "(direct)", "8"]
    assert table["first_partner"].tolist() == ["7", "(direct)", "8"]


def test_preferred_channels_are_those_of_their_table():
    made = crm.datasets.make_universe(customers=200, random_state=2)
    scores = scorecard_table(made.transactions, as_of="2025-01-01").set_index("customer_id")
    table = crm.channels.preferred_channel_table(made.transactions, as_of="2025-01-01").set_index("customer_id")
    assert scores.loc[table.index, "preferred_channel"].tolist() == table["preferred_channel"].tolist()
    np.testing.assert_allclose(scores.loc[table.index, "preferred_channel_share"], table["preferred_share"])
    firsts = made.transactions.sort_values(["timestamp", "order_id"]).groupby("customer_id").head(1)
    firsts = firsts.set_index("customer_id").loc[table.index]
    assert scores.loc[table.index, "acquisition_channel"].tolist() == firsts["channel"].tolist()
    assert scores.loc[table.index, "first_partner"].tolist() == firsts["partner_id"].tolist()


def test_customers_who_say_how_they_came_are_believed():
    people = pd.DataFrame({"customer_id": ["a"], "acquisition_channel": ["fair"], "partner_id": ["p"]})
    table = scorecard_table(pd.DataFrame(small(**WAYS)), as_of="2024-02-01", customers=people)
    assert table["acquisition_channel"].tolist()[:1] == ["fair"]
    assert table["partner_id"].tolist()[:1] == ["p"]
    assert "first_partner" not in table
    assert "main_partner" in table


def test_open_tickets_are_those_of_the_list_of_customers_who_wait(card):
    made = pd.DataFrame({"ticket_id": range(60), "customer_id": (IDS * 2)[:60]})
    made["opened_at"] = pd.Timestamp("2024-10-01") + pd.to_timedelta(made["ticket_id"], unit="D")
    made["closed_at"] = (made["opened_at"] + pd.Timedelta(hours=5)).where(made["ticket_id"] % 20 != 0)
    found = score_customers(BASE, as_of=AS_OF, tickets=made, segmenter=card.segmenter)
    scores = found.scores.set_index("customer_id")
    waiting = crm.support.at_risk_table(made, as_of=AS_OF).set_index("customer_id")
    assert len(waiting) == 3  # tickets 0, 20 and 40
    assert scores.loc[waiting.index, "open_ticket_urgency"].tolist() == waiting["urgency"].tolist()
    assert scores.loc[waiting.index, "open_ticket_reason"].tolist() == waiting["reason"].tolist()
    assert scores["open_ticket_count"].sum() == waiting["open_ticket_count"].sum()
    assert scores["ticket_count"].sum() == 60
    assert scores["open_ticket_urgency"].notna().sum() == len(waiting)
    assert "service_cost_amount" not in scores  # nobody said what a ticket costs
    assert found.scores.columns.tolist()[1:] == found.guide["column"].tolist()


def test_tickets_that_say_little_are_counted(card):
    def columns(tickets):
        return scorecard_table(BASE, as_of=AS_OF, tickets=tickets, segmenter=card.segmenter).filter(like="ticket")

    plain = pd.DataFrame(TICKETS)
    assert columns(plain).sum().to_dict() == {"ticket_count": 3}
    later = plain.assign(opened_at=pd.Timestamp(AS_OF), closed_at=pd.NaT)
    assert columns(later).sum().to_dict() == {"ticket_count": 0}
    assert columns(plain.drop(columns="customer_id")).columns.tolist() == []
