"""What the pages of channels, partners and support promise: there when their tables are, the tables' own figures."""

import datetime as dt
import re
import warnings

import pandas as pd
import pytest

import crmlytics as crm
from crmlytics.exceptions import DataQualityWarning
from crmlytics.report import _channels, _gather, _partners, _support, _words, write_report
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


def gathered(lines, as_of=AS_OF, quotas=None, kind="pandas", margin=None, **given):
    """Make the tables of these pages alone, without a scorecard and the rest of the report."""
    frames = {name: make_frame(table, kind) for name, table in given.items()}
    transactions = crm.Transactions(make_frame(lines, kind))
    known, first, last = known_before(transactions, as_of)
    others = bound(frames, transactions, as_of)
    sources = Sources(known, added_up(known), None, others, quotas, None, as_of, 90, first, last, margin)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", DataQualityWarning)
        patch.setattr(_gather, "PARTS", NEW)
        tables = _gather.parts_of(sources)
    return Context({name: table for name, table in tables.items() if table is not None}, as_of, 90, "$", first, last)


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
                        first_reply_at=pd.NaT, closed_at=pd.NaT, reopened_at=pd.NaT, satisfaction=99.0)])  # fmt: skip
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
    assert f"{one['top_partner_id']} sold the most: {100 * one['top_share']:.0f} %" in text
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


def test_a_margin_reaches_channels_and_partners_and_is_not_spoken_of_where_there_is_none():
    lines = ORDERS[ORDERS["customer_id"] < 150].drop(columns="cost", errors="ignore")
    told, silent = gathered(lines, margin=0.3), gathered(lines)
    for name in ("channels", "partners"):
        table = told.tables[name]
        assert table["margin_amount"].tolist() == pytest.approx((0.3 * table["amount"]).tolist(), abs=1e-5)
    won = told.tables["channel_customers"]
    assert won["horizon_margin_amount"].tolist() == pytest.approx((0.3 * won["horizon_amount"]).tolist(), abs=1e-5)
    for page in (_channels, _partners):
        first = [[heading.text for heading in page.build(of).tables[0].headings] for of in (told, silent)]
        assert [name for name in first[0] if name not in first[1]] == ["Margin"]
    assert "Margin" in _partners.build(told).tables[0].note
    assert not any("argin" in str(table) for page in (_channels, _partners) for table in page.build(silent).tables)


# -- dirt ----------------------------------------------------------------------------------------------------------


def test_names_are_text_whatever_they_hold():
    names = {"web": "<b>{web}</b>", "store": "{} & %s"}
    odd = gathered(ORDERS.assign(channel=ORDERS["channel"].map(names), partner_id=ORDERS["channel"].map(names)))
    for page in (_channels, _partners):
        findings = " ".join(page.build(odd).findings)
        assert "<b>" not in findings
    assert "&lt;b&gt;{web}&lt;/b&gt;" in " ".join(_channels.build(odd).findings)


OF_SUPPORT = {
    "tickets", "ticket_groups", "resolution", "backlog", "satisfaction", "satisfaction_drivers", "ticket_outcomes",
    "waiting", "workload",
}  # fmt: skip
OF_MARKS, OF_CUSTOMERS = {"satisfaction", "satisfaction_drivers"}, {"ticket_outcomes", "waiting"}


@pytest.mark.parametrize(
    ("tickets", "not_asked_for", "told"),
    [
        (TICKETS[["ticket_id", "opened_at"]], {"ticket_groups"} | OF_MARKS | OF_CUSTOMERS,
         {"tickets", "resolution", "backlog"}),
        (TICKETS[["ticket_id", "customer_id", "opened_at", "closed_at"]], {"ticket_groups"} | OF_MARKS, set()),
        (TICKETS.assign(satisfaction=float("nan"), closed_at=pd.NaT), set(), OF_MARKS),
        (TICKETS.assign(satisfaction=10.0), set(), {"satisfaction_drivers"}),
        (TICKETS.assign(satisfaction=-99.0), {"satisfaction_drivers"}, {"satisfaction"}),
        (TICKETS.assign(customer_id=1).drop(columns="satisfaction"), OF_MARKS, set()),
        (TICKETS.head(3), set(), {"satisfaction_drivers", "workload"}),
        (TICKETS[TICKETS["opened_at"] >= AS_OF], set(), OF_SUPPORT),
    ],
    ids=["opened alone", "no reply", "all open", "all ten", "beyond", "one customer", "three", "later only"],
)  # fmt: skip
def test_tickets_that_lack_much_leave_parts_out_and_say_why(tickets, not_asked_for, told):
    found = gathered(ORDERS.drop(columns=ROLES), tickets=tickets)
    assert OF_SUPPORT - set(found.tables) == not_asked_for | told
    notes = found.tables.get("notes", pd.DataFrame(columns=["part", "outcome"]))
    left_out = set(notes.loc[notes["outcome"] == "left out", "part"])
    assert left_out == {part.words for part in NEW if part.name in told}
    assert (_support.build(found) is None) == (told >= {"tickets", "workload"})


@pytest.mark.parametrize(
    ("times", "more", "satisfied_from", "scale"),
    [(1, 0, 4.0, "1 to 5"), (1, 2, 5.5, "1 to 7"), (2, 0, 7.5, "0 to 10"), (20, 0, 75.0, "0 to 100")],
)
def test_the_scale_is_the_first_usual_one_that_holds_all_marks_known(times, more, satisfied_from, scale):
    tickets = TICKETS.assign(satisfaction=times * TICKETS["satisfaction"] + more)
    tickets.loc[tickets["closed_at"].isna(), "satisfaction"] = -99.0  # open: nobody knows the mark yet
    found = gathered(ORDERS.drop(columns=ROLES), tickets=tickets)
    notes, text = found.tables.get("notes"), words_of(_support.build(found))
    assert found.tables["satisfaction"]["satisfied_from"].item() == satisfied_from
    assert f"of {scale}, the mean of" in text
    said = [] if notes is None else notes["reason"].tolist()
    usual = scale == "1 to 5"
    assert said == ([] if usual else [f"Marks are read as {scale}, the first usual scale that holds them all."])


def test_a_mark_beyond_every_scale_drops_the_marks_alone():
    tickets = TICKETS.assign(
        satisfaction=TICKETS["satisfaction"].mask(TICKETS["closed_at"].notna().cumsum() == 1, -99.0)
    )
    odd = gathered(ORDERS.drop(columns=ROLES), tickets=tickets)
    plain = gathered(ORDERS.drop(columns=ROLES), tickets=TICKETS.drop(columns="satisfaction"))
    assert "Satisfaction holds -99, beyond the scale of 0 to 100" in odd.tables["notes"]["reason"].iloc[0]
    assert _support.build(odd) == _support.build(plain)


def test_dates_without_a_time_make_no_minutes():
    dates = {name: TICKETS[name].dt.normalize() for name in ("opened_at", "closed_at", "first_reply_at", "reopened_at")}
    text = words_of(_support.build(gathered(ORDERS.drop(columns=ROLES), tickets=TICKETS.assign(**dates))))
    assert "First reply | the same day | by then" in text
    assert "minute" not in text


def test_what_is_doubtful_in_the_tickets_is_the_first_finding():
    old = gathered(ORDERS.drop(columns=ROLES), tickets=TICKETS[TICKETS["opened_at"] < "2025-02-01"])
    assert _support.build(old).findings[0].startswith("Nothing happened after 2025-0")


def test_nothing_sold_through_a_partner_makes_no_page():
    assert pages(gathered(ORDERS.drop(columns=ROLES).assign(partner_id=None))) == []


def test_lines_without_a_channel_are_unknown_and_never_the_largest():
    lines = ORDERS.drop(columns=ROLES)
    half = gathered(lines.assign(channel=ORDERS["channel"].where(ORDERS["channel"] == "web")))
    assert "All that is known was bought through web" in words_of(_channels.build(half))
    none = words_of(_channels.build(gathered(lines.assign(channel=None))))
    assert "bought through" not in none
    assert none.startswith("Revenue by channel | ")
