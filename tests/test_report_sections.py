"""What each part of the report promises: figures by hand, refusals that are told, nothing from the future."""

import dataclasses
import datetime as dt
import re
import warnings

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crmlytics as crm
from crmlytics.exceptions import DataQualityWarning, SchemaError
from crmlytics.report import (
    _change,
    _differences,
    _gather,
    _outlook,
    _revenue_parts,
    _stages,
    _trust,
    _value,
    write_report,
)
from crmlytics.report._context import Context
from crmlytics.report._gather import gather
from crmlytics.report._parts import PARTS, Part
from crmlytics.report._sources import Sources, added_up, known_before
from crmlytics.report._write import render_page
from crmlytics.testing import make_frame

AS_OF = dt.datetime(2024, 3, 1)
DAY = dt.timedelta(days=1)


def context_of(**tables):
    return Context({name: pd.DataFrame(table) for name, table in tables.items()}, AS_OF, 90, "$", AS_OF, AS_OF)


def words_of(section):
    texts = [*section.findings, *(figure.note for figure in section.figures)]
    texts += [cell if isinstance(cell, str) else cell.text for table in section.tables for row in table.rows
              for cell in row]  # fmt: skip
    return re.sub(r"<[^>]+>", "", " | ".join(map(str, texts))).replace("\u00a0", " ").replace("&#39;", "'")


def sources_of(known_days):
    first = (AS_OF - known_days * DAY).date()
    return Sources(None, None, None, {}, None, None, AS_OF, 90, first, AS_OF.date())


# -- what is held against what -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known_days", "comparison"),
    [(728, (364, 1)), (727, (91, 4)), (455, (91, 4)), (454, (182, 1)), (364, (182, 1)), (363, (91, 1)),
     (182, (91, 1)), (181, (28, 1)), (55, (7, 1)), (14, (7, 1))],
)  # fmt: skip
def test_the_longest_spans_are_compared_and_seasons_taken_out_where_a_year_allows_it(known_days, comparison):
    assert sources_of(known_days).comparison == comparison


def test_too_few_days_for_any_comparison_is_said():
    with pytest.raises(SchemaError, match=r"needs 2 weeks of orders, and there are 13 days"):
        _ = sources_of(13).comparison


# -- lines added up ------------------------------------------------------------------------------------------------

order_lines = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 4), st.integers(0, 3), st.sampled_from([-5.0, 0.0, 2.0, 5.0])),
    min_size=1, max_size=25,
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(lines=order_lines)
def test_adding_lines_up_changes_no_order_no_credit_note_and_no_amount(lines):
    rows = [(who, order, dt.datetime(2024, 1, 1) + day * DAY, money) for who, order, day, money in lines]
    known = crm.Transactions(pd.DataFrame(rows, columns=["customer_id", "order_id", "timestamp", "amount"]))
    few = added_up(known)
    assert len(few.data) <= len(lines)
    tables = [crm.value.kpi_table(table, as_of="2024-02-01", period="7d") for table in (known, few)]
    pd.testing.assert_frame_equal(*tables)


def test_lazy_lines_are_left_where_they_are():
    lines = {"customer_id": ["a"], "order_id": [1], "timestamp": [AS_OF - DAY], "amount": [1.0]}
    known, _, _ = known_before(crm.Transactions(make_frame(lines, "duckdb")), AS_OF)
    assert added_up(known) is known


# -- parts that refuse, and parts that fail ------------------------------------------------------------------------


def _refuse(_):
    raise SchemaError(
        'bridge_table(lag=1): period="7d" needs two weeks before as_of=2024-03-01 00:00. Take a shorter one.'
    )


def _warn(_):
    warnings.warn("forecast: only 12 months. See the docs.", DataQualityWarning, stacklevel=1)
    return pd.DataFrame({"x": [1]})


def _fail(_):
    return 1 / 0


def test_a_refusal_is_told_on_the_page_a_caution_too_and_neither_kills_it(monkeypatch):
    monkeypatch.setattr(_gather, "PARTS", (Part("a", "The bridge", _refuse), Part("b", "The forecast", _warn)))
    found = _gather.parts_of(None)
    assert list(found["b"]["x"]) == [1]
    assert "a" not in found
    assert found["notes"].to_numpy().tolist() == [
        ["The bridge", "left out", "It needs two weeks before the date of this report."],
        ["The forecast", "with caution", "Only 12 months."],
    ]  # fmt: skip
    text = words_of(_trust.build(context_of(notes=found["notes"])))
    assert "1 part of this page is left out and 1 is to be read with caution" in text
    assert "The bridge | left out | It needs two weeks before" in text


def test_any_other_error_and_a_needed_part_stop_the_report(monkeypatch):
    monkeypatch.setattr(_gather, "PARTS", (Part("a", "Broken", _fail),))
    with pytest.raises(ZeroDivisionError):
        _gather.parts_of(None)
    monkeypatch.setattr(_gather, "PARTS", (Part("a", "The figures", _refuse, is_needed=True),))
    with pytest.raises(SchemaError, match=r"needs two weeks before as_of"):
        _gather.parts_of(None)


def test_names_of_parts_are_told_apart():
    assert len({part.name for part in PARTS}) == len({part.words for part in PARTS}) == len(PARTS)


# -- stages --------------------------------------------------------------------------------------------------------

STAGE_NAMES = ["new", "growing", "loyal", "won back", "at risk", "lapsed"]
STAGES = {
    "stage": STAGE_NAMES, "customer_count": [0, 10, 50, 0, 30, 10], "customer_share": [0, 0.1, 0.5, 0, 0.3, 0.1],
    "total_amount_share": [0, 0.2, 0.6, 0, 0.15, 0.05], "next_amount": [None, 90.0, 80.0, None, 20.0, 5.0],
    "next_amount_low": [None, 70.0, 75.0, None, 15.0, 1.0], "next_amount_high": [None, 99.0, 85.0, None, 25.0, 9.0],
    "total_expected_amount": [0.0, 900.0, 4000.0, 0.0, 600.0, 50.0], "step_days": 91,
}  # fmt: skip


def test_stages_are_added_up_and_a_loyal_customer_is_held_against_one_at_risk():
    text = words_of(_stages.build(context_of(stages=STAGES)))
    assert "60 customers (60 %) are loyal or growing; they brought 80 % of all revenue so far." in text
    assert "40 customers (40 %) are at risk or lapsed" in text
    assert "they brought 20 % of all revenue" in text
    assert "A loyal customer brings $80.00 in the 13 weeks that follow ($75.00 to $85.00), one at risk $20.00" in text
    assert "New | first bought lately, or once only | 0 | \u2013 | \u2013 | \u2013" in text  # nobody began there


def test_moves_between_stages_are_the_sum_of_where_they_lead():
    chance = {"loyal": [0, 0.1, 0.7, 0.05, 0.1, 0.05], "at risk": [0, 0.1, 0.2, 0.1, 0.4, 0.2]}
    rows = [(a, b, p, 7) for a, found in chance.items() for b, p in zip(STAGE_NAMES, found, strict=True)]
    rows += [(a, b, None, 0) for a in STAGE_NAMES if a not in chance for b in STAGE_NAMES]
    columns = ["from_stage", "to_stage", "transition_probability", "from_customer_count"]
    text = words_of(_stages.build(context_of(stages=STAGES, stage_moves=pd.DataFrame(rows, columns=columns))))
    assert "Of loyal customers, 15 % are at risk or lapsed 13 weeks later." in text
    assert "Of those at risk, 40 % are back 13 weeks later." in text
    assert "Loyal | 7 | 0 | 10 | 70 | 5 | 10 | 5" in text


# -- kinds of customers, and the best ------------------------------------------------------------------------------

GROUPS = {
    "segment": ["low order_count", "high order_count, low recency_days"], "customer_count": [70, 30],
    "customer_share": [0.7, 0.3], "total_amount": [100.0, 900.0], "total_amount_share": [0.1, 0.9],
    "mean_recency_days": [80.0, 8.0], "mean_average_order_amount": [9.0, 30.0],
}  # fmt: skip


def test_groups_are_named_in_words_and_one_cloud_is_said_to_be_one():
    text = words_of(_differences.build(context_of(behaviour=GROUPS)))
    assert "fall into 2 groups. Those with most revenue (many orders, bought lately) are 30 % of" in text
    assert "Few orders | 70 | 70 % | 10 % | 80 | $9.00" in text
    cloud = {name: values[:1] for name, values in GROUPS.items()}
    section = _differences.build(context_of(behaviour=cloud))
    assert "one cloud without islands" in words_of(section)
    assert section.tables == ()


@pytest.fixture(scope="module")
def shop():
    """A hundred customers over 40 weeks: the first 20 buy twice as often, and are the ones from <North>."""
    rows = [
        (who, 1000 * who + turn, AS_OF - (1 + turn * (7 if who < 20 else 14) + who % 5) * DAY, 10.0 + who % 7,
         "tea" if turn % 2 else "jam")
        for who in range(100)
        for turn in range(40 if who < 20 else 20)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["customer_id", "order_id", "timestamp", "amount", "category"])


@pytest.fixture(scope="module")
def people():
    return pd.DataFrame({
        "customer_id": range(100), "country": ["<North>" if who < 20 else "South" for who in range(100)],
    })  # fmt: skip


@pytest.fixture(scope="module")
def card(shop):
    with warnings.catch_warnings(action="ignore"):  # nobody of these customers leaves
        return crm.scorecard.score_customers(shop, as_of=AS_OF)


def gathered(shop, card, **more):
    return gather(crm.Transactions(shop), as_of=AS_OF, horizon_days=90, scorecard=card, **more)


def test_attributes_tell_what_sets_the_best_apart_and_are_shown_as_text(shop, people, card):
    page = render_page(gathered(shop, card, customers=people))
    assert "country = &lt;North&gt; in 100%, in 20% of all customers (5.0 times as often)" in page
    assert "Revenue by country" in page
    assert "<North>" not in page


def test_attributes_from_the_future_are_not_read(shop, people, card):
    dated = people.assign(valid_from=AS_OF - 300 * DAY)
    moved = people.assign(valid_from=AS_OF, country="Mars")
    pages = [
        render_page(gathered(shop, card, customers=table)) for table in (dated, pd.concat([dated, moved]))
    ]  # fmt: skip
    assert pages[0] == pages[1]
    assert "&lt;North&gt;" in pages[0]


def test_every_table_from_a_query_gives_the_same_page(shop, people, card):
    tickets = pd.DataFrame({
        "ticket_id": [1, 2], "customer_id": [1, 1], "opened_at": [AS_OF - DAY, AS_OF - 2 * DAY],
    })  # fmt: skip
    products = pd.DataFrame({"product_id": ["j"], "department": ["food"]})
    lines = shop.assign(product_id=shop["category"].str[0])
    pages = []
    for kind in ("pandas", "duckdb"):
        tables = {"customers": people, "tickets": tickets, "products": products}
        framed = {name: make_frame(table, kind) for name, table in tables.items()}
        known = crm.Transactions(make_frame(lines, kind))
        context = gather(known, as_of=AS_OF, horizon_days=90, scorecard=card, costs={"ticket": 9.0}, **framed)
        pages.append(render_page(context))
    assert pages[0] == pages[1]
    assert all(f"Revenue by {way}" in pages[0] for way in ("category", "department", "country", "product"))


def test_what_else_is_known_of_customers_keeps_no_cut_away(shop, people, card):
    known = crm.Transactions(make_frame(shop, "polars"))
    consenting = make_frame(people.assign(consent=True, birth_date=AS_OF), "polars")
    found = gather(known, as_of=AS_OF, horizon_days=90, scorecard=card, customers=consenting)
    assert set(found.tables["cuts"]["by"]) == {"category", "country"}


# -- value ---------------------------------------------------------------------------------------------------------

FEW = pd.DataFrame({
    "customer_id": ["a", "a", "b", "c"], "order_id": [1, 2, 3, 4], "amount": [10.0, 5.0, 7.0, 3.0],
    "timestamp": [AS_OF - days * DAY for days in (20, 10, 9, 8)],
})  # fmt: skip


def test_costs_show_who_earns_and_who_loses_and_tickets_from_as_of_on_cost_nothing():
    tickets = pd.DataFrame({"ticket_id": [1, 2], "customer_id": ["b", "b"], "opened_at": [AS_OF - DAY, AS_OF]})
    found = gather(
        crm.Transactions(FEW), as_of=AS_OF, horizon_days=7, currency="$", costs={"order": 4.0, "ticket": 1.0},
        tickets=tickets,
    )  # fmt: skip
    text = words_of(_value.build(found))  # a: 15 - 8 = 7; b: 7 - 4 - 1 = 2; c: 3 - 4 = -1
    assert "2 customers (67 %) leave $9.00 over; 1 customer costs more than they bring and takes $1.00 of it" in text
    assert "The curve climbs to 112 % with 67 % of the customers" in text
    assert "whale" not in gather(crm.Transactions(FEW), as_of=AS_OF, horizon_days=7).tables


def test_moves_between_levels_by_hand():
    moves = {
        "from_tier": ["high", "high", "high", "(new)"], "to_tier": ["high", "low", "(gone)", "low"],
        "customer_count": [6, 3, 1, 4], "from_share": [0.6, 0.3, 0.1, 1.0], "amount_change": [10.0, -20.0, -5.0, 8.0],
        "step_days": 182,
    }  # fmt: skip
    text = words_of(_value.build(context_of(value_moves=moves)))
    assert (
        "Of the 10 customers on the high level of value in the 26 weeks before the last, 60 % stayed there and 1"
        in text
    )
    assert "High | 10 | 60 | 30 | 10 | \u2212$15.00" in text
    assert "New | 4 | 0 | 100 | 0 | +$8.00" in text


def test_groups_of_value_are_those_of_the_scorecard(shop, card):
    groups = gathered(shop, card).tables["value_groups"].set_index("value_group")["customer_count"]
    counted = card.scores["value_group"].value_counts()
    assert {name: n for name, n in groups.items() if n} == counted.to_dict()


# -- what changed, and what is to come -----------------------------------------------------------------------------


def test_the_bridge_by_hand():
    lines = FEW.assign(timestamp=[AS_OF - days * DAY for days in (14, 3, 10, 2)])  # b stays away, c is new
    section = _change.build(gather(crm.Transactions(lines), as_of=AS_OF, horizon_days=7, currency="$"))
    text = words_of(section)
    assert "The last 1 week brought $8.00, $9.00 less than the 1 week before (\u221253 %). Seasons are not" in text
    assert (
        "Most was gained by new customers (+$3.00), most was lost by customers who stayed away (\u2212$7.00)." in text
    )
    assert "Products and quantities are not known, so orders stand for them." in text
    bars = re.findall(r'class="s(\d)" x="(\S+)" y="\S+" width="(\S+)"', section.figures[0].picture)
    assert [kind for kind, *_ in bars] == ["5", "3", "4", "4", "1"]  # before, new, away, smaller orders, now


def test_the_forecast_stands_beside_its_benchmark():
    ahead = pd.DataFrame({
        "period_start": pd.to_datetime(["2024-03-01", "2024-04-01"]),
        "period_end": pd.to_datetime(["2024-04-01", "2024-05-01"]), "period_number": [1, 2],
        "existing_amount": [80.0, 90.0], "new_amount": [20.0, 10.0], "forecast_amount": [100.0, 100.0],
        "forecast_amount_low": [90.0, None], "forecast_amount_high": [110.0, None], "benchmark_amount": [70.0, 70.0],
        "benchmark": "naive", "verdict": ["better", "not known"], "absolute_error_share": [0.1, None],
        "benchmark_absolute_error_share": [0.2, None],
    })  # fmt: skip
    text = words_of(_outlook.build(context_of(forecast=ahead)))
    assert (
        "From Mar \u201924 to Apr \u201924, $200 of revenue is expected, 15 % of it from customers still to come."
        in text
    )
    assert "Forecasts of the 1st month ahead beat the naive benchmark in the past." in text
    assert "were off by 10 % on average; the benchmark, that every month brings what the last one did, by 20 %." in text
    assert "Mar \u201924 | $100 | $90.00 \u2013 $110 | $70.00 | 10 % | 20 % | better" in text
    assert "Apr \u201924 | $100 | \u2013 | $70.00 | \u2013 | \u2013 | not known" in text


@pytest.mark.filterwarnings("ignore:seasonality_table")
@pytest.mark.parametrize(
    ("days", "why"), [(13, "only 1 whole week is known"), (63, "in 8 whole weeks no weekday surely differs")]
)
def test_a_season_that_may_be_growth_or_chance_is_not_told(days, why):
    lines = {"customer_id": "a", "order_id": range(days), "timestamp": [AS_OF - (day + 1) * DAY for day in range(days)]}
    orders = crm.Transactions(pd.DataFrame(lines).assign(amount=lambda rows: 5.0 + rows["order_id"] % 3))
    with pytest.raises(SchemaError, match=why):
        _revenue_parts.weekdays(dataclasses.replace(sources_of(days), orders=orders))


def test_seasons_are_told_only_where_they_are_reliable(shop, card):
    found = gathered(shop, card)
    assert "weekdays" in found.tables
    assert "months" not in found.tables
    notes = found.tables["notes"].set_index("part")
    assert notes.loc["Months of the year", "outcome"] == "left out"
    best = found.tables["weekdays"].sort_values("amount_index")["part"].iloc[-1]
    assert f"The best day is {best} with" in words_of(_outlook.build(found))


# -- what is wrong is said -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"costs": {"order": -1.0}}, r"contribution_table: .*order"),
        ({"costs": {"parcel": 1.0}}, r"contribution_table: .*parcel"),
        (
            {"contacts": pd.DataFrame({"customer_id": ["a"], "campaign_id": ["x"], "timestamp": [AS_OF - DAY]})},
            r"contacts came without what one costs",
        ),
        ({"quotas": pd.DataFrame({"partner_id": ["p"]})}, r"quota_table: quotas needs \['period_start'"),
        (
            {"customers": pd.DataFrame({"customer_id": [1], "country": ["x"]})},
            r"write_report: customer_id is Int64 in customers and String in transactions",
        ),
        (
            {"customers": make_frame({"customer_id": ["a"], "country": ["x"]}, "polars")},
            r"write_report: transactions is a pandas table and customers a Polars table",
        ),
        ({"customers": pd.DataFrame({"customer_id": ["a", "a"]})}, r"\['a'\] appear more than once"),
    ],
)
def test_a_table_or_a_cost_that_cannot_be_used_is_refused(more, message, tmp_path):
    with pytest.raises(SchemaError, match=message):
        write_report(FEW, tmp_path / "r.html", as_of=AS_OF, **more)
    assert not list(tmp_path.iterdir())


def test_a_single_purchase_still_makes_a_page_that_says_what_is_missing():
    found = gather(crm.Transactions(FEW.tail(1)), as_of=AS_OF, horizon_days=7)
    left_out = set(found.tables["notes"]["part"])
    assert {
        "Stages of life",
        "What changed revenue",
        "Forecast by period",
        "What sets the best customers apart",
    } <= left_out
    page = render_page(found)
    assert 'id="change"' not in page
    assert "What is missing, or to be read with caution" in page


def test_returns_only_still_make_a_page():
    page = render_page(gather(crm.Transactions(FEW.assign(amount=-5.0)), as_of=AS_OF, horizon_days=7))
    assert 'id="trust"' in page


def test_a_section_without_its_tables_stays_away():
    empty = dataclasses.replace(context_of(), tables={})
    builders = (_stages, _differences, _value, _change, _outlook)
    assert [section.build(empty) for section in builders] == [None] * 5
