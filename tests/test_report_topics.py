"""What the pages of channels, partners and support promise: there when their tables are, the tables' own figures."""

import datetime as dt
import re
import warnings

import pandas as pd
import pytest

import crmlytics as crm
from crmlytics.exceptions import DataQualityWarning
from crmlytics.report import _channels, _charts, _gather, _partners, _support, _words, write_report
from crmlytics.report._context import Context
from crmlytics.report._parts import PARTS
from crmlytics.report._sources import Sources, added_up, bound, known_before
from crmlytics.testing import make_frame

AS_OF = dt.datetime(2025, 5, 1)
NEW = PARTS[[part.name for part in PARTS].index("channels") :]
PAGES = {"channels": _channels, "partners": _partners, "support": _support}
ROLES = ["channel", "partner_id"]
MADE = crm.datasets.make_universe(customers=500, random_state=1)
ORDERS, TICKETS = MADE.transactions, MADE.tickets.copy()
EVENTS = MADE.events.assign(partner_id=MADE.events["channel"].map({"email": "PA01"}))  # in touch before sales of others
TICKETS.loc[TICKETS["opened_at"].between("2025-04-10", "2025-05-01"), ["closed_at", "reopened_at"]] = pd.NaT
PEOPLE = MADE.customers.drop(columns="segment")
QUOTAS = pd.DataFrame([
    {"partner_id": name, "period_start": start, "period_end": start + pd.DateOffset(months=3), "quota_amount": 2_000.0}
    for name in MADE.partners["partner_id"] for start in pd.date_range("2024-01-01", periods=6, freq="QS")
])  # fmt: skip


def gathered(lines, as_of=AS_OF, quotas=None, kind="pandas", **given):
    """Make the tables of these pages alone, without a scorecard and the rest of the report."""
    frames = {name: make_frame(table, kind) for name, table in given.items()}
    transactions = crm.Transactions(make_frame(lines, kind))
    known, first, last = known_before(transactions, as_of)
    others = bound(frames, transactions, as_of)
    sources = Sources(known, added_up(known), None, others, quotas, None, as_of, 90, first, last)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", DataQualityWarning)
        patch.setattr(_gather, "PARTS", NEW)
        tables = _gather.parts_of(sources)
    return Context({name: table for name, table in tables.items() if table is not None}, as_of, 90, "$", first, last)


def context_of(**tables):
    return Context({name: pd.DataFrame(table) for name, table in tables.items()}, AS_OF, 90, "$", AS_OF, AS_OF)


def words_of(section):
    texts = [*section.findings, *(text for card in section.cards for text in (card.label, card.value, card.note))]
    texts += [text for figure in section.figures for text in (figure.title, figure.note)]
    texts += [cell if isinstance(cell, str) else cell.text for table in section.tables for row in table.rows
              for cell in row]  # fmt: skip
    return re.sub(r"<[^>]+>", "", " | ".join(map(str, texts))).replace("\u00a0", " ")


def pages(context):
    return [name for name, page in PAGES.items() if page.build(context) is not None]


@pytest.fixture(scope="module")
def context():
    return gathered(ORDERS, quotas=QUOTAS, events=EVENTS, tickets=TICKETS, customers=PEOPLE)


# -- there when their tables are -----------------------------------------------------------------------------------


def test_each_page_is_there_exactly_when_its_table_is(context):
    plain = ORDERS.drop(columns=ROLES)
    assert pages(context) == ["channels", "partners", "support"]
    assert pages(gathered(plain)) == []
    assert pages(gathered(plain.assign(channel=ORDERS["channel"]))) == ["channels"]
    assert pages(gathered(plain, events=EVENTS)) == ["channels"]
    assert pages(gathered(plain, events=EVENTS.drop(columns="channel"))) == []
    assert pages(gathered(plain.assign(partner_id=ORDERS["partner_id"]))) == ["partners"]
    assert pages(gathered(plain, tickets=TICKETS)) == ["support"]


def test_the_whole_report_holds_them_with_their_figures(tmp_path):
    few = crm.datasets.make_universe(customers=80, random_state=1)
    given = {"tickets": few.tickets, "events": few.events, "customers": few.customers.drop(columns="segment")}
    with warnings.catch_warnings(action="ignore", category=DataQualityWarning):
        path = write_report(few.transactions, tmp_path / "r.html", as_of=AS_OF, quotas=QUOTAS, **given)
    page = path.read_text(encoding="utf-8")
    order = re.findall(r'<section id="(\w+)"', page)
    assert order[-5:] == ["channels", "partners", "support", "trust", "guide"]
    for key in PAGES:
        section = re.search(rf'<section id="{key}".*?</section>', page, re.DOTALL)[0]
        assert section.count("<svg") in {1, 2}
        assert section.count("<li>") >= 2
    assert "first_partner" not in page  # customers say who brought them
    assert "open_ticket_urgency" in page


def test_every_table_of_these_pages_is_shown_or_used(context):
    made = {part.name for part in NEW} & set(context.tables)
    assert made == {part.name for part in NEW}
    builders = [page.build for page in PAGES.values()]
    whole = [build(context) for build in builders]
    for name in made:
        fewer = {key: table for key, table in context.tables.items() if key != name}
        thinner = Context(fewer, AS_OF, 90, "$", AS_OF, AS_OF)
        assert [build(thinner) for build in builders] != whole, name


@pytest.mark.parametrize("kind", ["duckdb", "polars-lazy"])
def test_any_engine_gives_the_same_pages(kind):
    lines, known = ORDERS[ORDERS["customer_id"] < 150], EVENTS["customer_id"] < 150
    given = {"events": EVENTS[known.fillna(value=False)], "tickets": TICKETS[TICKETS["customer_id"] < 150]}
    found = [gathered(lines, kind=one, **given) for one in ("pandas", kind)]
    for page in PAGES.values():
        assert page.build(found[0]) == page.build(found[1])


def test_nothing_from_the_future_is_told(context):
    lines = pd.concat([ORDERS, ORDERS.tail(50).assign(timestamp=AS_OF, amount=1e9, channel="new", partner_id="new")])
    tickets = pd.concat([TICKETS, TICKETS.tail(9).assign(ticket_id=range(9_000, 9_009), opened_at=AS_OF,
                        first_reply_at=pd.NaT, closed_at=pd.NaT, reopened_at=pd.NaT, satisfaction=1.0)])  # fmt: skip
    events = pd.concat([EVENTS, EVENTS.tail(50).assign(timestamp=AS_OF, channel="new")])
    later = gathered(lines, quotas=QUOTAS, events=events, tickets=tickets, customers=PEOPLE)
    for page in PAGES.values():
        assert page.build(later) == page.build(context)


# -- the tables' own figures ---------------------------------------------------------------------------------------


def test_figures_of_channels_are_those_of_the_tables(context):
    text = words_of(_channels.build(context))
    sold = crm.channels.channel_table(ORDERS, as_of=AS_OF, events=EVENTS).sort_values("amount").iloc[-1]
    share, buyers = _words.percent(sold["amount_share"]).replace("\u00a0", " "), sold["customer_count"]
    assert (
        f"Most was bought through {sold['channel']}: ${sold['amount']:,.0f}, {share} of all revenue, by {buyers}"
        in text
    )
    credit = crm.channels.attribution_table(EVENTS, ORDERS, as_of=AS_OF, model="last", replicates=20)
    for row in credit.to_dict("records"):
        shown = _words.percent(row["credit_share"]).replace("\u00a0", " ")
        assert re.search(rf"{re.escape(row['channel'])} \| [^|]+ \| {re.escape(shown)} \|", text)
    assert "only an experiment does" in text


def test_figures_of_partners_are_those_of_the_tables(context):
    text = words_of(_partners.build(context))
    one = crm.partners.partner_concentration_table(ORDERS, as_of=AS_OF, window="182d", replicates=20).iloc[0]
    assert f"{one['top_partner_id']} sold most of it: {100 * one['top_share']:.0f} %" in text
    quotas = crm.partners.quota_table(ORDERS, QUOTAS, as_of=AS_OF)
    running = quotas[quotas["period_end"] > AS_OF]["verdict"].value_counts()
    told = re.search(r"Of 6 quotas that run: ([^.]+)\.", text)[1]
    assert sorted(re.split(", | and ", told)) == sorted(f"{n} {verdict}" for verdict, n in running.items())


def test_figures_of_support_are_those_of_the_tables(context):
    text = words_of(_support.build(context))
    row = crm.support.support_table(TICKETS, as_of=AS_OF).iloc[0]
    assert f"Tickets | {row['ticket_count']} | {row['open_count']} of them open" in text
    assert f"{100 * row['reply_within_target_share']:.0f} % are answered within 8 hours" in text
    ahead = crm.support.workload_table(TICKETS, as_of=AS_OF)["expected_count"].sum()
    assert f"In the next 14 days, {ahead:.0f} tickets are expected" in text
    waiting = crm.support.at_risk_table(TICKETS, as_of=AS_OF)
    assert len(waiting) == len(context.tables["waiting"]) > 0
    spent = ORDERS[ORDERS["timestamp"] < AS_OF].groupby("customer_id")["amount"].sum()
    shown = context.tables["waiting"].set_index("customer_id")["value_amount"].astype(float)
    assert shown.tolist() == pytest.approx(spent.loc[shown.index].tolist())


# -- sentences by hand ---------------------------------------------------------------------------------------------


def won(p_value):
    return {
        "acquisition_channel": ["ads", "shop"], "observed_count": [40, 60], "first_order_amount": [1.0, 2.0],
        "repeat_share": [0.1, 0.2], "horizon_amount": [50.0, 80.0], "horizon_amount_low": [40.0, 70.0],
        "horizon_amount_high": [60.0, 90.0], "horizon_difference": [-30.0, 30.0],
        "horizon_difference_low": [-45.0, 15.0], "horizon_difference_high": [-15.0, 45.0],
        "horizon_p_value": [p_value, p_value],
        "acquisition_cost_amount": [5.0, None], "net_amount": [3.0, None], "horizon_days": 91, "caution": "few; no",
    }  # fmt: skip


def test_a_channel_is_said_to_win_other_customers_only_where_it_is_sure():
    sure = words_of(_channels.build(context_of(channel_customers=won(0.04))))
    assert "Customers won by ads bring $50.00 in their first 13 weeks, $30.00 less than those won by the other" in sure
    assert "($15.00 to $45.00)" in sure
    assert "ads | 40 | $1.00 | 10 % | $50.00 | $40.00 \u2013 $60.00 | $5.00 | +$3.00" in sure
    assert "no channel surely won better" in words_of(_channels.build(context_of(channel_customers=won(0.06))))


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
        "partner_id": ["(direct)", "P", "Q"], "rank": [1, 2, 3], "rank_low": [1, 2, 2], "rank_high": [1, 3, 3],
        "amount": [90.0, 30.0, 20.0], "amount_low": [80.0, 20.0, None], "amount_high": [99.0, 45.0, None],
        "amount_share": [0.6, 0.2, 0.1], "growth_share": [0.1, 0.5, -0.2], "growth_share_low": [-0.1, 0.2, -0.4],
        "growth_share_high": [0.2, 0.8, 0.1], "customer_count": [9, 3, 2], "new_customer_count": 1,
        "margin_amount": [None, None, None], "is_inactive": [False, False, True], "span_days": 182,
        "caution": "Association, not effect: x. Give like_for_like.",
    } | changed  # fmt: skip


def test_partners_are_told_apart_from_what_was_sold_without_them_and_by_more_than_chance():
    section = _partners.build(context_of(partners=sold()))
    text = words_of(section)
    assert "The places are not sure: 2 partners may be the first" in text
    assert "Against the 26 weeks before, with 95 % certainty each: P (+50 %) grew." in text
    assert "1 partner is silent for longer than usual: Q." in text
    assert "(direct)" not in text
    assert section.tables[0].note.endswith("Association, not effect: x.")  # what to type is for those who program
    text = words_of(_partners.build(context_of(partners=sold(rank_low=[1, 2, 3], growth_share_low=[None, -0.1, -0.4]))))
    assert "P is surely the first of them." in text
    assert "no partner surely grew or shrank" in text


def test_nothing_sold_through_a_partner_makes_no_page():
    assert pages(gathered(ORDERS.drop(columns=ROLES).assign(partner_id=None))) == []


def outcome(low, high):
    return {
        "kind": ["bad"], "comparison": ["good ticket"], "matched_count": [50], "returned_share": [0.5],
        "comparison_returned_share": [0.6], "returned_share_difference": [-0.1], "returned_share_difference_low": [low],
        "returned_share_difference_high": [high], "revenue_amount_difference": [-3.0], "horizon_days": 91,
    }  # fmt: skip


def test_a_bad_ticket_is_said_to_go_with_leaving_only_beyond_chance():
    text = words_of(_support.build(context_of(ticket_outcomes=outcome(-0.2, 0.0001))))
    assert (
        "50 % ordered within 13 weeks; of customers alike after a good one, 60 %. The difference may be chance" in text
    )
    text = words_of(_support.build(context_of(ticket_outcomes=outcome(-0.15, -0.05))))
    assert "That is \u221210 points (\u221215 to \u22125 points) beyond chance." in text


def test_who_waits_longer_than_others_is_counted_with_the_revenue_so_far():
    waiting = {
        "customer_id": ["<b>", "y"], "ticket_id": [1, 2], "urgency": ["overdue", "usual"], "rank": [1, 2],
        "oldest_age_hours": [100.0, 5.0], "value_amount": [300.0, 7.0], "reason": ["open for long", "open"],
    }  # fmt: skip
    text = words_of(_support.build(context_of(waiting=waiting)))
    assert "2 customers have an open ticket, the oldest for 4 days; 1 of them for longer than three in four" in text
    assert "with $300 of revenue so far" in text


# -- dirt ----------------------------------------------------------------------------------------------------------


def test_names_are_text_whatever_they_hold():
    names = {"web": "<b>{web}</b>", "store": "{} & %s"}
    odd = gathered(ORDERS.assign(channel=ORDERS["channel"].map(names), partner_id=ORDERS["channel"].map(names)))
    for page in (_channels, _partners):
        findings = " ".join(page.build(odd).findings)
        assert "<b>" not in findings
    assert "&lt;b&gt;{web}&lt;/b&gt;" in " ".join(_channels.build(odd).findings)


@pytest.mark.parametrize(
    "tickets",
    [
        TICKETS[["ticket_id", "opened_at"]],
        TICKETS[["ticket_id", "customer_id", "opened_at", "closed_at"]],
        TICKETS.assign(satisfaction=float("nan"), closed_at=pd.NaT),
        TICKETS.assign(satisfaction=10.0),
        TICKETS.assign(customer_id=1).drop(columns="satisfaction"),
        TICKETS.tail(3),
        TICKETS[TICKETS["opened_at"] >= AS_OF],
    ],
    ids=["opened alone", "no reply", "all open", "all ten", "one customer", "three", "later only"],
)
def test_tickets_that_lack_much_leave_parts_out_and_say_why(tickets):
    found = gathered(ORDERS.drop(columns=ROLES), tickets=tickets)
    there = {part.name for part in NEW} & set(found.tables)
    told = set(found.tables["notes"]["part"]) if "notes" in found.tables else set()
    _support.build(found)
    if len(tickets) < len(TICKETS) or "closed_at" not in tickets or tickets["closed_at"].isna().all():
        assert told
    else:
        assert {"tickets", "backlog", "workload"} <= there


def test_marks_beyond_five_are_read_from_zero_to_ten():
    tickets = TICKETS.assign(satisfaction=2 * TICKETS["satisfaction"])
    found = gathered(ORDERS.drop(columns=ROLES), tickets=tickets)
    assert found.tables["satisfaction"]["satisfied_from"].item() == 7.5
    assert "7.50 or better" in words_of(_support.build(found))


def test_lines_without_a_channel_are_unknown_and_never_the_largest():
    lines = ORDERS.drop(columns=ROLES)
    half = gathered(lines.assign(channel=ORDERS["channel"].where(ORDERS["channel"] == "web")))
    assert "All that is known was bought through web" in words_of(_channels.build(half))
    none = gathered(lines.assign(channel=None))
    section = _channels.build(none)
    assert section is None or "Most was bought" not in words_of(section)


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
    assert "before, of the 12 largest, with" in text
    assert "P12" not in text
