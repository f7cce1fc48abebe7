"""What the pages of channels, partners and support say, from tables made by hand: what is sure, and what is not."""

import datetime as dt
import re

import pandas as pd
import pytest

import crmlytics as crm
from crmlytics.report import _channels, _charts, _partners, _section, _support
from crmlytics.report._context import Context

AS_OF = dt.datetime(2025, 5, 1)


def context_of(**tables):
    return Context({name: pd.DataFrame(table) for name, table in tables.items()}, AS_OF, 90, "$", AS_OF, AS_OF)


def words_of(section):
    texts = [*section.findings, *(text for card in section.cards for text in (card.label, card.value, card.note))]
    texts += [text for figure in section.figures for text in (figure.title, figure.note)]
    texts += [cell if isinstance(cell, str) else cell.text for table in section.tables for row in table.rows
              for cell in row]  # fmt: skip
    return re.sub(r"<[^>]+>", "", " | ".join(map(str, texts))).replace("\u00a0", " ")


# -- sentences -----------------------------------------------------------------------------------------------------


def won(p_value):
    return {
        "acquisition_channel": ["ads", "shop"], "observed_count": [40, 60], "first_order_amount": [1.0, 2.0],
        "repeat_share": [0.1, 0.2], "horizon_amount": [50.0, 80.0], "horizon_amount_low": [40.0, 70.0],
        "horizon_amount_high": [60.0, 90.0], "horizon_difference": [-30.0, 30.0],
        "horizon_difference_low": [-45.0, 15.0], "horizon_difference_high": [-15.0, 45.0],
        "horizon_adjusted_p_value": [p_value, p_value], "horizon_margin_amount": None,
        "acquisition_cost_amount": [5.0, None], "net_amount": [3.0, None], "horizon_days": 91, "caution": "Few. No.",
    }  # fmt: skip


def test_a_channel_is_said_to_win_other_customers_only_where_it_is_sure():
    sure = words_of(_channels.build(context_of(channel_customers=won(0.04))))
    assert "Customers won by ads bring $50.00 in their first 13 weeks, $30.00 less than those won by the other" in sure
    assert "($15.00 to $45.00)" in sure
    assert "ads | 40 | $1.00 | 10 % | $50.00 | $40.00 \u2013 $60.00 | $5.00 | +$3.00" in sure
    assert "no channel surely won better" in words_of(_channels.build(context_of(channel_customers=won(0.06))))


def touched(**changed):
    return {
        "channel": "web", "phase": ["before", "at", "after"], "order_count": 195, "reached_share": 0.5,
        "lift": [2.0, 6.1, 0.0], "lift_low": [1.0, 1e-5, None], "lift_high": [4.0, 5e5, None], "around_days": 7,
        "caution": None,
    } | changed  # fmt: skip


def test_how_often_a_channel_is_touched_is_told_only_where_it_is_known():
    table = _channels.build(context_of(touchpoints=touched())).tables[0]
    headings = [heading.text.replace("\u00a0", " ") for heading in table.headings]
    assert headings == ["Channel", "7 days before", "times usual", "Same day", "7 days after"]
    assert [cell.replace("\u00a0", " ") for cell in table.rows[0]] == ["web", "50 %", "2", "50 %", "50 %"]
    assert table.note.replace("\u00a0", " ").startswith("Share of the 195 orders of which the time before and after is")


@pytest.mark.parametrize(
    ("reach", "said"), [(0.1, "ads gets 50 % of the orders by Markov chains and 80 % by"), (0.2, "the rules agree")]
)
def test_credit_hangs_on_the_rule_where_rules_differ_by_more_than_chance(reach, said):
    share = [0.2, 0.5, 0.8, 0.5]
    credit = {
        "model": ["last", "markov"] * 2, "channel": ["web", "web", "ads", "ads"], "credit_share": share,
        "credit_share_low": [of - reach for of in share], "credit_share_high": [of + reach for of in share],
        "lookback_days": 14, "caution": None,
    }  # fmt: skip
    section = _channels.build(context_of(credit=credit))
    assert said in words_of(section)
    assert "touched in the 14\u00a0days before count" in section.tables[0].note


def did(**changed):
    return {
        "channel": ["app", "web"], "amount": [0.0, 90.0], "amount_share": [0.0, 1.0], "margin_amount": None,
        "customer_count": [0, 9], "order_count": [0, 9], "amount_per_order": [None, 10.0], "repeat_share": [None, 0.5],
        "visit_count": [30, 0], "converting_visit_count": 0, "conversion_share": [0.0, None], "caution": None,
    } | changed  # fmt: skip


def test_channels_that_orders_and_visits_name_differently_are_told():
    table = _channels.build(context_of(channels=did())).tables[0]
    assert [(row[0], row[-1]) for row in table.rows] == [("web", "\u2013"), ("app", "30")]
    assert "do not name the same channels" in table.note
    for alike in (did(visit_count=[0, 0]), did(order_count=[3, 9], visit_count=[30, 4])):
        assert "do not name" not in _channels.build(context_of(channels=alike)).tables[0].note


def test_quotas_are_told_by_the_way_they_were_forecast():
    quotas = {
        "partner_id": ["P", "Q"], "period_end": AS_OF + dt.timedelta(days=30), "quota_amount": 100.0,
        "attainment_share": 0.5, "elapsed_share": 0.6, "forecast_attainment_share": 0.9,
        "forecast_attainment_share_low": 0.7, "forecast_attainment_share_high": 1.1, "reach_probability": [0.3, None],
        "method": ["quota", "run rate"], "verdict": ["open", "not known"], "caution": None,
    }  # fmt: skip
    section = _partners.build(context_of(quotas=quotas))
    assert "Of 2 quotas that run: 1 open and 1 not known." in words_of(section)
    assert "70 % \u2013 110 % | 30 % | open" in words_of(section)
    note = section.tables[0].note
    assert note.startswith("Forecasts from what came so far, carried on and the quota and how much of past quotas was")


def test_support_is_held_against_the_targets_of_its_table():
    row = {
        "ticket_count": 9, "open_count": 1, "resolution_median_hours": 79.0, "resolution_target_hours": 48.0,
        "resolution_within_target_share": 0.4, "first_reply_median_hours": 1.0, "reply_target_hours": 2.0,
        "reply_within_target_share": 0.7,
    }  # fmt: skip
    found = context_of(tickets=[row], ticket_groups=[row | {"by": "category", "group": "x", "caution": None}])
    section = _support.build(found)
    assert "70 % are answered within 2 hours, 40 % are closed within 2 days." in words_of(section)
    assert "Resolution | 3.3 days" in words_of(section)
    headings = [heading.text.replace("\u00a0", " ") for heading in section.tables[0].headings]
    assert headings[-4:] == ["Half answered in", "Within 2 hours", "Half closed in", "Within 2 days"]


def test_a_move_between_channels_stands_beside_those_who_moved_back():
    moves = {
        "from_channel": ["store", "store", "store", "web", "(new)"],
        "to_channel": ["store", "web", "(gone)", "store", "web"],
        "customer_count": [5, 4, 1, 3, 9], "reverse_count": [0, 3, 0, 4, 0], "from_share": [0.5, 0.4, 0.1, 1.0, 1.0],
        "step_days": 91, "caution": "Association, not effect.",
    }  # fmt: skip
    text = words_of(_channels.build(context_of(channel_moves=moves)))
    assert (
        "Of the 10 customers who ordered mostly through store in the 13 weeks before the last, 40 % (4) have since "
        "ordered mostly through web; 3 went the other way." in text
    )
    assert "store | 10 | 50 | 40 | 10" in text


def sold(**changed):
    return {
        "partner_id": ["(direct)", "P", "Q"], "rank": [None, 1, 2], "rank_low": [None, 1, 1],
        "rank_high": [None, 2, 2], "amount": [90.0, 30.0, 20.0], "previous_amount": [80.0, 20.0, 25.0],
        "amount_low": [80.0, 20.0, None], "amount_high": [99.0, 45.0, None],
        "amount_share": [0.6, 0.2, 0.1], "growth_share": [0.1, 0.5, -0.2], "growth_share_low": [-0.1, 0.2, -0.4],
        "growth_share_high": [0.2, 0.8, 0.1], "customer_count": [9, 3, 2], "new_customer_count": 1,
        "margin_amount": [None, None, None], "is_inactive": [False, False, True], "span_days": 182,
        "caution": "Association, not effect: x. Give like_for_like.",
    } | changed  # fmt: skip


def test_partners_are_told_apart_from_what_was_sold_without_them_and_by_more_than_chance():
    section = _partners.build(context_of(partners=sold()))
    text = words_of(section)
    assert "The places are not sure: 2 partners may be the first" in text
    assert (
        "Against the 26 weeks before (all revenue +12 %; seasons are not taken out), with 95 % certainty each" in text
    )
    assert "each: P (+50 %) grew." in text
    assert "1 partner is silent for longer than usual: Q." in text
    assert "(direct)" not in text
    assert section.tables[0].note.endswith("Association, not effect: x.")  # what to type is for those who program
    text = words_of(
        _partners.build(context_of(partners=sold(rank_low=[None, 1, 2], growth_share_low=[None, -0.1, -0.4])))
    )
    assert "The places are not sure: P may be the first" in text  # its own place is 1 to 2
    assert "no partner surely grew or shrank" in text
    sure = sold(rank_low=[None, 1, 2], rank_high=[None, 1, 2])
    assert "P is surely the first of them." in words_of(_partners.build(context_of(partners=sure)))
    year = words_of(_partners.build(context_of(partners=sold(span_days=364, rank_low=[None, None, None]))))
    assert "Against the 52 weeks before (all revenue +12 %), with" in year
    assert "first" not in year  # of so few customers no place is told
    assert "P | $30.00 | 20 % | +50 % |" in year


def outcome(low, high):
    return {
        "kind": ["bad"], "comparison": ["good ticket"], "matched_count": [50], "returned_share": [0.5],
        "comparison_returned_share": [0.6], "returned_share_difference": [-0.1], "returned_share_difference_low": [low],
        "returned_share_difference_high": [high], "revenue_amount_difference": [-3.0],
        "revenue_amount_difference_low": [-4.0], "revenue_amount_difference_high": [1.0], "horizon_days": 91,
    }  # fmt: skip


def test_a_bad_ticket_is_said_to_go_with_leaving_only_beyond_chance():
    text = words_of(_support.build(context_of(ticket_outcomes=outcome(-0.2, 0.0001))))
    assert (
        "50 % ordered within 13 weeks; of customers alike after a good one, 60 %. The difference may be chance" in text
    )
    text = words_of(_support.build(context_of(ticket_outcomes=outcome(-0.15, -0.05))))
    assert "That is \u221210 points (\u221215 to \u22125 points) beyond chance." in text
    assert text.endswith("| \u2212$3.00 | \u2212$4.00 \u2013 +$1.00")
    unknown = outcome(None, None)  # where nothing varies there are no bounds
    assert "beyond chance" not in words_of(_support.build(context_of(ticket_outcomes=unknown)))


def test_who_waits_longer_than_others_is_counted_with_the_revenue_so_far():
    waiting = {
        "customer_id": ["<b>", "y"], "ticket_id": [1, 2], "urgency": ["overdue", "usual"], "rank": [1, 2],
        "oldest_age_hours": [100.0, 5.0], "value_amount": [300.0, 7.0], "reason": ["open for long", "open"],
    }  # fmt: skip
    text = words_of(_support.build(context_of(waiting=waiting)))
    assert "2 customers have an open ticket, the oldest for 4.2 days; 1 of them for longer than three in four" in text
    assert "with $300 of revenue so far" in text
    usual = words_of(_support.build(context_of(waiting=waiting | {"urgency": "usual"})))
    assert "the oldest for 4.2 days: none for longer than three in four tickets alike were." in usual
    unclosed = words_of(_support.build(context_of(waiting=waiting | {"urgency": None})))
    assert "the oldest for 4.2 days. |" in unclosed
    assert "y | 2 | $7.00 | Open." in unclosed


# -- words and pictures --------------------------------------------------------------------------------------------


def test_falling_curves_are_steps_that_end_where_little_is_left():
    drawing = _charts.falling(
        [[(0.0, 1.0), (10.0, 0.5), (50.0, 0.04), (900.0, 0.0)]], alt="x", text=str, names=("h", "s")
    )
    points = re.search(r'points="([^"]+)"', drawing)[1].split()
    xs, ys = zip(*[map(float, point.split(",")) for point in points], strict=True)
    assert len(points) == 7  # from 1 on: three moments before the axis ends, two points each
    assert xs == tuple(sorted(xs))
    assert ys == tuple(sorted(ys))
    assert "900" not in drawing


def test_each_bar_of_a_bridge_begins_where_the_one_above_it_ended():
    drawing = _charts.bridge(("then", 100.0), [("up", 50.0), ("down", -30.0)], ("now", 120.0), alt="x", text=str)
    found = re.findall(r'class="s\d" x="(\S+)" y="\S+" width="(\S+)"', drawing)
    (_, then), (up, rise), (down, fall), (zero, now) = [(float(x), float(width)) for x, width in found]
    assert (up, up + rise) == pytest.approx((then, 1.5 * then), abs=0.2)
    assert (down + fall, down) == pytest.approx((1.5 * then, 1.2 * then), abs=0.2)
    assert (zero, now) == pytest.approx((0, 1.2 * then), abs=0.2)
    assert "+50.0</text>" in drawing


def test_whiskers_reach_their_bounds():
    drawing = _charts.columns(["a", "b"], [[10.0, 20.0]], alt="x", text=str, whiskers={1: (10.0, 40.0)})
    (top,) = re.findall(r'<rect class="s1" x="\S+" y="(\S+)" width="\S+" height="\S+"/>', drawing)[:1]
    low, high = re.findall(r'class="whisker" x1="\S+" y1="(\S+)" x2="\S+" y2="(\S+)"', drawing)[0]
    assert float(low) == float(top)  # at 10, as high as the first column
    assert float(high) == pytest.approx(_charts.TOP, abs=0.2)  # 40 is the last tick


def test_bars_have_their_intervals():
    drawing = _charts.bars(["a"], [[10.0]], alt="x", text=str, whiskers={0: (5.0, 20.0)})
    width = float(re.search(r'class="s1" \S+ \S+ width="(\S+)"', drawing)[1])
    low, high = map(float, re.search(r'class="whisker" x1="(\S+)" y1="\S+" x2="(\S+)"', drawing).groups())
    assert (low, high) == pytest.approx((width / 2, 2 * width), abs=0.2)


def test_of_many_partners_only_the_largest_are_told_to_have_grown():
    many = pd.DataFrame(
        {name: [values[1] if isinstance(values, list) else values] * 13 for name, values in sold().items()}
    )
    many = many.assign(partner_id=[f"P{i:02d}" for i in range(13)], rank=range(1, 14))
    text = words_of(_partners.build(context_of(partners=many)))
    assert "with 95 % certainty each: P00 (+50 %), P01 (+50 %), P02 (+50 %) and 9 more grew." in text
    assert "seasons are not taken out), of the 12 largest, with" in text
    assert "P12" not in text


def test_columns_of_which_nothing_is_known_are_left_out():
    table = _section.Table("x", tuple(map(_section.Heading, "abc")), (("p", "\u2013", "1"), ("q", "\u2013", "\u2013")))
    assert table.filled() == _section.Table("x", tuple(map(_section.Heading, "ac")), (("p", "1"), ("q", "\u2013")))


def test_as_many_orders_make_a_clear_preference_as_the_note_says():
    days = pd.date_range("2024-01-01", periods=10)
    who = [number for number in range(1, 11) for _ in range(number)]  # customer n ordered n times
    orders = pd.DataFrame({
        "customer_id": who, "order_id": range(55), "timestamp": [days[n - 1] for n in who], "amount": 1.0,
        "channel": "web",
    })  # fmt: skip
    clear = crm.channels.preferred_channel_table(orders, as_of=AS_OF).set_index("customer_id")["is_clear"]
    assert clear[clear].index.min() == 6
    preferred = {"preferred_channel": ["web", "store"], "customer_count": 1, "clear_count": 0}
    assert (
        "six orders through one channel and none"
        in _channels.build(context_of(preferred_channels=preferred)).tables[0].note
    )
