"""What write_report promises: every part that has data, one file that needs nothing else, ids as text, same bytes."""

import dataclasses
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pandas as pd
import pytest

import crmlytics as crm
from crmlytics.exceptions import CrmlyticsError
from crmlytics.report import _charts, write_report
from crmlytics.report._gather import gather
from crmlytics.report._slipping import watch_table
from crmlytics.report._write import BUILDERS, render_page
from crmlytics.testing import make_frame

AS_OF = "2024-06-01"
HOSTILE = "<script>alert('x')</script> & \"co\""
VOID = {"meta", "link", "br", "hr", "img", "input", "wbr"}
PARTS = [
    "summary", "actions", "slipping", "customers", "stages", "differences", "value", "revenue", "change", "outlook",
    "trust", "guide",
]  # fmt: skip
NOT_HTML = r"(?:src|href|action|data|poster|xlink:href)\s*=\s*[\"'](?!#|data:,)"


@pytest.fixture(scope="module")
def orders():
    """Two years of made orders without dirt but lines without a customer; one busy customer has a hostile id."""
    made = crm.datasets.make_transactions(
        customers=250, missing_customer_rate=0.05, duplicate_rate=0, zero_price_rate=0, negative_price_rate=0,
        infinite_amount_rate=0, cancellation_rate=0, random_state=3,
    ).transactions  # fmt: skip
    ids = "c" + made["customer_id"].astype("string")
    busiest = ids[made["timestamp"] < "2023-11-01"].value_counts().index[0]
    is_hers = (ids == busiest).fillna(value=False)
    made = made.assign(
        customer_id=ids.mask(is_hers, HOSTILE), amount=made["amount"].where(~is_hers, made["amount"] * 9)
    )
    return made[~is_hers | (made["timestamp"] < "2023-11-01")]  # she slips after October


@pytest.fixture(scope="module")
def transactions(orders):
    with pytest.warns(crm.exceptions.DataQualityWarning):
        return crm.Transactions(orders)


@pytest.fixture(scope="module")
def context(transactions):
    return gather(transactions, as_of=pd.Timestamp(AS_OF).to_pydatetime(), horizon_days=90, currency="EUR")


@pytest.fixture(scope="module")
def page(context):
    return render_page(context, title="Ours & <theirs>")


class Outline(HTMLParser):
    """Reads a page strictly: what opens must close in order; keeps ids, links, headings and visible text."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.links, self.headings, self.tags, self.text = [], [], [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append((tag, found))
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []
        self.headings += [int(tag[1])] if re.fullmatch(r"h[1-6]", tag) else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def test_every_promised_part_is_there_in_order(page):
    sections = [found["id"] for tag, found in Outline(page).tags if tag == "section"]
    assert sections == PARTS


def test_the_answer_comes_before_the_contents_and_the_contents_name_every_other_part(page):
    outline = Outline(page)
    order = [found.get("id", tag) for tag, found in outline.tags if tag in {"nav", "section"}]
    assert order[:3] == ["summary", "nav", "actions"]
    assert [link[1:] for link in outline.links if link.startswith("#")] == PARTS[1:]


def test_the_page_is_light(page):
    assert len(page.encode()) < 150_000


def test_the_page_needs_nothing_else(page):
    assert not re.search(NOT_HTML, page)
    assert not re.search(r"@import|url\(|https?://|<script|<iframe|\bon\w+=", page)


def test_it_is_well_formed_with_unique_ids_links_that_lead_somewhere_and_headings_in_order(page):
    outline = Outline(page)
    assert len(outline.ids) == len(set(outline.ids))
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.ids)
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(outline.headings, outline.headings[1:], strict=False))


def test_everyone_can_read_it(page):
    tags = Outline(page).tags
    assert ("html", {"lang": "en"}) in tags
    assert any(found.get("name") == "viewport" for tag, found in tags if tag == "meta")
    drawings = [found for tag, found in tags if tag == "svg"]
    assert len(drawings) >= 6
    assert all(found["role"] == "img" and len(found["aria-label"]) > 20 for found in drawings)
    assert all("scope" in found for tag, found in tags if tag == "th")
    count = [tag for tag, _ in tags].count
    assert count("table") == count("caption") == count("thead") >= 5


def test_an_id_that_is_a_script_and_a_title_that_is_a_tag_are_shown_as_text(page):
    outline = Outline(page)
    assert HOSTILE in outline.text  # she is on the watch list
    assert "<script" not in page
    assert "Ours & <theirs>" in outline.text


def test_figures_are_those_of_the_tables(page, transactions, orders):
    text = " ".join("".join(Outline(page).text).replace("\u00a0", " ").split())
    known = orders[(orders["timestamp"] < AS_OF)]
    kept = known.dropna(subset=["customer_id"])
    assert f"{kept['customer_id'].nunique():,} customers" in text
    top = crm.value.concentration_table(transactions, as_of=AS_OF, top_shares=[0.2])["amount_share"].item()
    assert f"The best 20 % of the customers make {100 * top:.0f} % of the revenue." in text
    assert f"Of {len(orders):,} lines received, {len(kept):,} were kept" in text
    assert f"{len(orders) - len(kept):,} lines were set aside" in text
    assert f"no customer ({orders['customer_id'].isna().sum():,})" in text


def test_the_same_input_gives_the_same_bytes_whatever_the_order_of_lines(orders, tmp_path):
    shuffled = orders.sample(frac=1.0, random_state=0)
    pages = []
    for i, lines in enumerate([orders, orders, shuffled]):
        with pytest.warns(crm.exceptions.DataQualityWarning):
            table = crm.Transactions(lines)
        pages.append(write_report(table, tmp_path / f"{i}.html", as_of=AS_OF).read_bytes())
    assert pages[0] == pages[1] == pages[2]


@pytest.fixture(scope="module")
def known(orders):
    return orders.dropna(subset=["customer_id"])


@pytest.fixture(scope="module")
def known_page(known):
    return render_page(gather_of(known))


def test_what_happens_at_as_of_or_later_only_counts_as_set_aside(known, known_page):
    poisoned = known.assign(amount=known["amount"].where(known["timestamp"] < AS_OF, 1e9))
    pages = [known_page, render_page(gather_of(poisoned))]
    trust = re.compile(r'<section id="trust".*?</section>', re.DOTALL)
    assert trust.sub("", pages[0]) == trust.sub("", pages[1])


def gather_of(lines):
    return gather(crm.Transactions(lines), as_of=pd.Timestamp(AS_OF).to_pydatetime(), horizon_days=90)


@pytest.mark.parametrize("kind", ["polars-lazy", "pyarrow", "duckdb"])
def test_any_engine_gives_the_same_page(kind, known, known_page):
    assert render_page(gather_of(make_frame(known.astype({"customer_id": str}), kind))) == known_page


def test_a_part_without_its_data_stays_away(context):
    without = {
        "watch": "slipping", "guide": "guide", "segments": "customers", "stages": "stages",
    }  # fmt: skip
    for table, part in without.items():
        tables = {name: found for name, found in context.tables.items() if name != table}
        thinner = render_page(dataclasses.replace(context, tables=tables))
        sections = [found["id"] for tag, found in Outline(thinner).tags if tag == "section"]
        assert sections == [name for name in PARTS if name != part]
    assert [build(dataclasses.replace(context, tables={})) for build in BUILDERS] == [None] * len(BUILDERS)


def test_too_few_customers_for_a_forecast_still_make_a_page(tmp_path):
    lines = pd.DataFrame({
        "customer_id": [1, 1, 2], "order_id": [1, 2, 3], "amount": [10.0, 5.0, 7.0],
        "timestamp": pd.to_datetime(["2024-01-01", "2024-03-01", "2024-03-02"]),
    })  # fmt: skip
    page = write_report(lines, tmp_path / "r.html", as_of="2024-04-01").read_text(encoding="utf-8")
    sections = [found["id"] for tag, found in Outline(page).tags if tag == "section"]
    assert "slipping" not in sections
    assert {"summary", "customers", "revenue", "guide"} <= set(sections)


def words_of(page):
    return " ".join("".join(Outline(page).text).replace("\u00a0", " ").split())


def test_a_page_about_very_few_has_whole_sentences(tmp_path):
    lines = pd.DataFrame({
        "customer_id": [1, 1, 2], "order_id": [1, 2, 3], "amount": [10.0, 5.0, 7.0],
        "timestamp": pd.to_datetime(["2024-03-01", "2024-03-02", "2024-03-02"]),
    })  # fmt: skip
    card = crm.scorecard.score_customers(lines, as_of="2024-03-20")
    text = words_of(write_report(lines, tmp_path / "r.html", as_of="2024-03-20", scorecard=card).read_text("utf-8"))
    assert "1 customer placed the first and only order in the last 90 days." in text
    assert "Of those who joined earlier" not in text
    assert "The 1 customer in the segment" in text
    assert "makes 68 % of all revenue" in text
    assert "Customers with 2 orders are 50 % of all and bring 68 % of the revenue." in text
    assert "More than" not in text


def test_customers_with_returns_only_have_not_ordered(context):
    scores = context.tables["scores"]
    returns_only = scores.tail(2).assign(order_count=0, total_amount=-5.0, customer_id=["r1", "r2"])
    more = pd.concat([scores, returns_only], ignore_index=True)
    text = words_of(render_page(dataclasses.replace(context, tables={**context.tables, "scores": more})))
    once = int((scores["order_count"] == 1).sum())
    assert f"{len(scores)} customers have ordered so far; {once} of them" in text
    assert "Another 2 have returns only." in text
    assert f"of our {len(scores)} customers" in text
    before = words_of(render_page(context))
    again = re.search(r"Came back ?([\d.]+ %)", before)[1]
    assert re.search(r"Came back ?([\d.]+ %)", text)[1] == again


def test_the_first_cohort_says_nothing_of_new_customers(context):
    cohorts = context.tables["cohorts"]
    first = cohorts["cohort_start"] == cohorts["cohort_start"].min()
    swollen = cohorts.assign(customer_count=cohorts["customer_count"].where(~first, cohorts["cohort_customer_count"]))
    sentences = [
        re.search(r"\S+ % of new customers order again.*?data begin\)", words_of(render_page(found)))[0]
        for found in (context, dataclasses.replace(context, tables={**context.tables, "cohorts": swollen}))
    ]
    assert sentences[0] == sentences[1]


def test_nothing_is_overwritten_without_force_and_nothing_half_written(transactions, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(CrmlyticsError, match=r"is there already; give another name, or force=True"):
        write_report(transactions, path, as_of=AS_OF)
    assert path.read_text() == "mine"
    write_report(transactions, path, as_of=AS_OF, force=True)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [item.name for item in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"path": "report.pdf"}, r"'.*report\.pdf' must end with \.html"),
        ({"path": "no/report.html"}, r"the folder '.*no' does not exist; make it first"),
        ({"as_of": "01/06/2024"}, r'write_report: as_of must be a date such as as_of="2011-12-10"'),
        ({"as_of": "2020-01-01"}, r"write_report: no line lies before .*2020-01-01"),
        ({"horizon": "3 months"}, r"write_report: horizon must be a duration in days or weeks"),
        ({"margin": 20}, r"write_report: margin must be a fraction between 0 and 1"),
        ({"currency": None}, r"write_report: currency must be text"),
        (
            {"scorecard": "scores.csv"},
            r"write_report: scorecard must be what score_customers returned, got 'scores\.csv'",
        ),
    ],
)
def test_says_what_to_type_instead(wrong, message, transactions, tmp_path):
    arguments = {"as_of": AS_OF, **wrong}
    path = tmp_path / arguments.pop("path", "r.html")
    with pytest.raises(CrmlyticsError, match=message):
        write_report(transactions, path, **arguments)
    assert not path.exists()


def test_a_margin_turns_revenue_into_lifetime_value_in_the_guide(transactions, tmp_path):
    page = write_report(transactions, tmp_path / "r.html", as_of=AS_OF, margin=0.3).read_text(encoding="utf-8")
    assert "clv_amount" in page
    assert "expected_revenue_amount</th>" not in page


def test_the_watch_list_by_hand():
    scores = pd.DataFrame({
        "customer_id": ["slips", "steady", "small", "rare", "burst", *"abcdefghijklmnop"],
        "order_count": [11.0, 11, 11, 2, 11, *[1] * 16],
        "total_amount": [1100.0, 1100, 11, 2000, 1100, *[20.0] * 16],
        "average_order_amount": [100.0, 100, 1, 1000, 100, *[1.0] * 16],
        "tenure_days": [400, 301, 400, 400, 110, *[50] * 16],
        "recency_days": [100, 1, 100, 100, 100, *[50] * 16],
        "purchase_probability": [0.4, 0.9, 0.1, 0.1, 0.4, *[0.1] * 16],
        "expected_purchase_count": [0.5, 2.0, 0.1, 0.1, 0.5, *[0.1] * 16],
        "expected_order_amount": [80.0, 100, 1, 1000, 80, *[1.0] * 16],
    })  # fmt: skip
    watched = watch_table(scores, horizon_days=90)
    assert watched["customer_id"].tolist() == ["burst", "slips"]  # steady is likely, small no money, rare no habit
    assert watched["usual_gap_days"].tolist() == [1, 30]
    assert watched["usual_amount"].tolist() == pytest.approx([11 / 90 * 90 * 100, 11 / 300 * 90 * 100])
    assert watched["at_stake_amount"].tolist() == pytest.approx([1100 - 0.5 * 80, 330 - 0.5 * 80])
    assert watch_table(scores.assign(purchase_probability=float("nan")), horizon_days=90) is None


def test_columns_stack_up_and_down_from_zero():
    drawing = _charts.columns(["a"], [[2.0], [1.0], [-1.0]], alt="a < b", text=str, colours=(1, 2, 3))
    tops = {
        kind: (float(y), float(h))
        for kind, y, h in re.findall(r'class="s(\d)" x="\S+" y="(\S+)" \S+ height="(\S+)"', drawing)
    }
    (first, one), (second, two), (third, three) = (tops[kind] for kind in "123")
    assert (one, two) == pytest.approx((2 * three, three), abs=0.2)
    assert second + two == pytest.approx(first, abs=0.2)  # on top of the first
    assert third == pytest.approx(first + one, abs=0.2)  # below zero
    assert 'aria-label="a &lt; b"' in drawing


def test_importing_the_report_is_light():
    code = (
        "import sys, crmlytics.report; print(sorted({'matplotlib', 'jinja2', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_opens_it_without_errors_and_without_scrolling_sideways(width, page, tmp_path):
    browser = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    if browser is None:
        pytest.skip("no Chromium here")
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    probe = f"""<!DOCTYPE html><iframe src="report.html" style="width:{width}px;height:800px;border:0"></iframe>
        <p id="answer">none</p><script>addEventListener("load", () => {{
            const root = frames[0].document.documentElement;
            document.getElementById("answer").textContent = `${{root.scrollWidth}} of ${{root.clientWidth}}`;
        }})</script>"""  # a headless window is at least 500 px wide: the page is looked at through a frame
    (tmp_path / "probe.html").write_text(probe, encoding="utf-8")
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--allow-file-access-from-files",
        "--enable-logging=stderr", "--hide-scrollbars", "--dump-dom",
    ]  # fmt: skip
    command = [browser, *flags, f"--user-data-dir={tmp_path / 'profile'}", f"file://{tmp_path / 'probe.html'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert f'<p id="answer">{width} of {width}</p>' in done.stdout
    assert "CONSOLE" not in done.stderr
