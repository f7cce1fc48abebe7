"""What lead scoring promises: young leads are no failures, nothing is read from the future, grades keep their word."""

import datetime as dt
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics import Leads
from crmlytics.datasets._leads import make_leads
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.leads._grades import grade_codes
from crmlytics.leads._maturing import DAY, PRIOR, KnownLeads, rate_so_far, read_known
from crmlytics.leads._scoring_plots import plot_grades
from crmlytics.leads.conversion_times import conversion_time_table
from crmlytics.leads.model import LeadModel
from crmlytics.leads.scoring import LeadScores, score_leads
from crmlytics.testing import check_table_estimator, make_frame, records

DAY_0 = dt.datetime(2024, 1, 1)
AS_OF = "2024-12-31"
KNOWN_IN_TIME = ["source", "visits", "industry", "demo_requested", "job_title"]
QUIET = pytest.mark.filterwarnings("ignore:score_leads. .* leads are old enough", "ignore:LeadModel.fit")


def day(number):
    return None if number is None else DAY_0 + dt.timedelta(days=number)


def leads_of(rows):
    """Leads from (id, created, converted, source): days from the first of January 2024."""
    ids, created, converted, source = zip(*rows, strict=True)
    return {
        "lead_id": list(ids), "created_at": [day(n) for n in created], "converted_at": [day(n) for n in converted],
        "source": list(source),
    }  # fmt: skip


HAND = leads_of([
    (5, 0, 10, "web"), (4, 0, 30, "web"), (3, 10, None, "fair"), (2, 55, 58, "web"), (1, 55, 65, "fair"),
    (9, 60, None, "web"), (8, 70, 71, None),
])  # fmt: skip


@pytest.fixture(scope="module")
def made():
    return make_leads(1600, random_state=3)


@pytest.fixture(scope="module")
def scored(made):
    with warnings.catch_warnings(action="ignore"):
        return score_leads(made.leads, as_of=AS_OF, model="logistic", features=KNOWN_IN_TIME)


# -- which outcomes are known --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pandas", "pandas-pyarrow", "polars-lazy", "pyarrow", "duckdb"])
def test_outcomes_by_hand(kind):
    known = read_known(make_frame(HAND, kind), as_of=day(60), caller="test")
    assert known.table["lead_id"].tolist() == [1, 2, 3, 4, 5]  # 9 and 8 came on the day or later
    assert known.age_days.tolist() == [5, 5, 50, 60, 60]
    assert known.converted.tolist() == [False, True, False, True, True]  # 1 converts five days too late to be known
    assert known.days[[1, 3, 4]].tolist() == [3, 30, 10]
    assert known.settled(50).tolist() == [False, False, True, True, True]
    assert known.in_time(30).tolist() == [False, True, False, False, True]  # on the thirtieth day is too late
    assert not known.undated.any()


def test_conversions_without_a_moment():
    leads = pd.DataFrame(HAND).assign(converted=[True, True, False, False, True, True, False])
    leads.loc[leads["lead_id"] == 4, "converted_at"] = None
    known = read_known(leads, as_of=day(100), caller="test")
    of = dict(
        zip(known.table["lead_id"], zip(known.converted, known.undated, known.in_time(20), strict=True), strict=True)
    )
    assert of[4] == (True, True, True)
    assert of[2] == (False, False, False)  # the flag says no
    assert of[5] == (True, False, True)
    only_flag = read_known(leads.drop(columns="converted_at"), as_of=day(100), caller="test")
    assert only_flag.undated.tolist() == only_flag.converted.tolist()


def simulated(rows=20_000, rate=0.3, seed=0):
    """Leads of a year, 30 % of which convert within 90 days, none later; seen until the year's end."""
    rng = np.random.default_rng(seed)
    created = np.sort(rng.integers(0, 365, rows))
    delay = np.where(rng.random(rows) < rate, rng.integers(1, 90, rows), 10_000)
    start = np.datetime64("2024-01-01")
    return pd.DataFrame({
        "lead_id": np.arange(rows), "created_at": (start + created).astype("datetime64[us]"),
        "converted_at": (start + created + delay).astype("datetime64[us]"),
    })  # fmt: skip


def test_young_leads_are_neither_failures_nor_successes():
    """The truth is 30 %. Young leads as failures say less; kept only where they converted, they say more."""
    leads = simulated(seed=5)
    known = read_known(leads, as_of=AS_OF, caller="test")
    settled, won = known.settled(90), known.in_time(90)
    assert (
        won[settled].tolist() == (leads["converted_at"] - leads["created_at"] < pd.Timedelta(days=90))[settled].tolist()
    )
    assert won[settled].mean() == pytest.approx(0.30, abs=0.012)  # three standard errors
    assert won.mean() < 0.27
    assert won[settled | known.converted].mean() > 0.33


@pytest.mark.filterwarnings("ignore:score_leads. .* leads are old enough")
def test_the_model_learns_the_true_base_rate():
    leads = simulated(3000, seed=1).assign(visits=np.random.default_rng(1).integers(0, 9, 3000))
    scores = score_leads(leads, as_of=AS_OF, model="logistic")
    assert scores.model.base_rate_ == pytest.approx(0.30, abs=0.03)
    probability = np.array([row[1] for row in records(scores.scores)])
    assert probability.mean() == pytest.approx(0.30, abs=0.03)


def test_nothing_at_or_after_as_of_is_read(made, scored):
    moment = pd.Timestamp("2024-10-01")
    leads = made.leads[["lead_id", "created_at", "converted_at", *KNOWN_IN_TIME]]
    poisoned = leads.copy()
    future = poisoned["created_at"] >= moment
    poisoned.loc[future, ["source", "industry"]] = "poison"
    poisoned.loc[future, "visits"] = 10**6
    later = poisoned["converted_at"] >= moment
    poisoned.loc[later, "converted_at"] = moment
    poisoned.loc[poisoned["converted_at"].isna(), "converted_at"] = moment + pd.Timedelta(days=1)
    with warnings.catch_warnings(action="ignore"):
        first, second = (
            score_leads(one, as_of=moment, model="logistic", features=KNOWN_IN_TIME) for one in (leads, poisoned)
        )
    assert records(first.scores) == records(second.scores)
    assert records(first.grade_table) == records(second.grade_table)
    assert records(first.scores)[-1][0] < records(scored.scores)[-1][0]


# -- the scores ----------------------------------------------------------------------------------------------------


def test_scores_are_those_of_open_leads(made, scored):
    rows = records(scored.scores)
    waiting = made.leads["lead_id"][~made.leads["stage"].isin(["Won", "Lost"])]
    assert [row[0] for row in rows] == sorted(waiting)
    table = scored.scores
    assert (table["lift"] * scored.model.base_rate_).tolist() == pytest.approx(table["conversion_probability"].tolist())
    limits = {"A": 2.0, "B": 1.0, "C": 0.5, "D": 0.0}
    every = scored.model.score_table(made.leads)
    for graded in (table, every):
        codes = grade_codes(graded["lift"].to_numpy(), limits)
        assert graded["grade"].tolist() == [list(limits)[code] for code in codes]
    assert every.set_index("lead_id").loc[table["lead_id"], "grade"].tolist() == table["grade"].tolist()
    old = table["age_days"] >= 90
    assert (table["remaining_probability"][old] == 0).all()
    young = table[~old]
    assert young["remaining_probability"].between(0, 1, inclusive="left").all()


def test_probabilities_are_those_that_were_planted(made, scored):
    truth = made.truth.set_index("lead_id")["probability_within_90d"]
    every = scored.model.score_table(made.leads)
    true = truth.loc[every["lead_id"]].to_numpy()
    said = every["conversion_probability"].to_numpy()
    assert said.mean() == pytest.approx(true.mean(), abs=0.03)
    assert np.corrcoef(said, true)[0, 1] > 0.6
    for grade in "BC":
        of_grade = (every["grade"] == grade).to_numpy()
        assert said[of_grade].mean() == pytest.approx(true[of_grade].mean(), abs=0.06)


def test_grades_keep_their_word_on_later_leads(scored):
    rows = {row[0]: row for row in records(scored.grade_table)}
    assert list(rows) == ["A", "B", "C", "D"]
    assert [row[1] for row in rows.values()] == [2.0, 1.0, 0.5, 0.0]
    assert rows["A"][2] == pytest.approx(2 * scored.model.base_rate_)
    assert scored.evaluation.judged.scheme == "out of time"
    judged = [row[5] for row in rows.values()]
    assert sum(judged) == len(scored.evaluation.judged.outcome)
    assert rows["B"][7] > rows["C"][7]
    assert all(low <= share <= high for *_, share, low, high in rows.values() if share is not None)
    young = scored.scores[scored.scores["age_days"] < 90]
    assert sum(row[3] for row in rows.values()) == len(young)
    assert sum(row[4] for row in rows.values()) == pytest.approx(young["remaining_probability"].sum())


def test_what_is_left_by_hand():
    """Half of the conversions come within 10 days, half from then to day 30."""
    rng = np.random.default_rng(0)
    settled = [(n, 0, (5, 20, None, None)[n % 4], "web") for n in range(400)]
    rows = leads_of([*settled, (900, 85, None, "web"), (901, 95, None, "web"), (902, 65, None, "web")])
    leads = pd.DataFrame(rows).assign(visits=rng.integers(0, 5, 403))
    with warnings.catch_warnings(action="ignore"):
        result = score_leads(leads, as_of=day(100), within="30d", features=["visits"], model="logistic")
    left = result.scores.set_index("lead_id")
    p, remaining = left.loc[900, ["conversion_probability", "remaining_probability"]]
    assert remaining == pytest.approx(p * 0.5 / (1 - p * 0.5))  # fifteen days old: the first half has passed
    assert left.loc[901, "remaining_probability"] == pytest.approx(0.5 * p / (1 - 0.5 * p)) or left.loc[
        901, "conversion_probability"
    ] != pytest.approx(p)
    assert left.loc[902, "remaining_probability"] == 0


def test_fields_filled_in_afterwards_are_left_out_and_named(made):
    with pytest.warns(DataQualityWarning) as told:
        result = score_leads(made.leads, as_of=AS_OF, model="logistic")
    text = " ".join(str(one.message) for one in told)
    assert "['contract_type', 'last_call_result'] seem to be filled in after the fact and are left out" in text
    assert set(result.late_fields) == {"contract_type", "last_call_result"}
    learnt = set(result.model.feature_names_in_)
    assert learnt >= {"source", "visits", "industry"}
    assert not learnt & {"contract_type", "last_call_result", "owner", "stage", "converted", "lead_id", "created_at"}


def test_source_so_far_is_the_rule_to_beat(scored):
    table = {(row[0], row[1]) for row in records(scored.evaluation.to_frame())}
    assert ("out of time", "conversion rate of the source so far") in table


ROWS = st.tuples(st.integers(0, 60), st.one_of(st.none(), st.integers(0, 40)), st.sampled_from(["web", "fair", None]))


@given(rows=st.lists(ROWS, min_size=1, max_size=12))
def test_rate_of_the_source_counts_only_what_was_known(rows):
    start, after, source = (np.array(column, object) for column in zip(*rows, strict=True))
    after = np.array([math.nan if days is None else days for days in after])
    known = KnownLeads(
        pd.DataFrame({"source": source}), None, start.astype(np.int64) * int(DAY), 200.0 - start, after >= 0, after
    )
    won = [days is not None and days < 30 for _, days, _ in rows]
    found = rate_so_far(known, "source", 30)
    for n, (start, _, source) in enumerate(rows):
        earlier = [m for m, (other, _, _) in enumerate(rows) if other + 30 <= start]
        mean = (sum(won[m] for m in earlier) + 1) / (len(earlier) + 2)
        same = [m for m in earlier if rows[m][2] == source]
        assert found[n] == pytest.approx((sum(won[m] for m in same) + PRIOR * mean) / (len(same) + PRIOR))


def test_rate_of_the_source_reads_nothing_of_later_leads():
    leads = simulated(400).assign(source="web")
    later = leads["created_at"] >= pd.Timestamp("2024-07-01")
    poisoned = leads.assign(converted_at=leads["converted_at"].mask(later, leads["created_at"]))
    rates = [rate_so_far(read_known(one, as_of=AS_OF, columns=["source"], caller="test"), "source", 90)
             for one in (leads, poisoned)]  # fmt: skip
    assert (rates[0][~later] == rates[1][~later]).all()


@QUIET
@pytest.mark.parametrize("kind", ["polars", "polars-lazy", "pyarrow", "duckdb"])
def test_every_kind_gives_the_same_scores(kind, made, scored):
    names = ["lead_id", "created_at", "converted_at", "stage", *KNOWN_IN_TIME]
    leads = make_frame({name: made.leads[name] for name in names}, kind)
    result = score_leads(leads, as_of=AS_OF, model="logistic", features=KNOWN_IN_TIME)
    for mine, theirs in ((result.scores, scored.scores), (result.time_table, scored.time_table)):
        assert type(mine) is type(leads)
        for row, other in zip(records(mine), records(theirs), strict=True):
            assert [value for value in row if isinstance(value, str)] == [v for v in other if isinstance(v, str)]
            numbers = [value for value in row if isinstance(value, float)]
            assert numbers == pytest.approx([value for value in other if isinstance(value, float)], rel=1e-6)
    assert type(result.evaluation.to_frame()) is type(leads)
    reasons = result.reason_table(n=1)
    assert type(reasons) is type(leads)
    assert [row[:3] for row in records(reasons)] == [row[:3] for row in records(scored.reason_table(n=1))]


def test_reasons_and_story_come_with_the_scores(scored):
    assert isinstance(scored, LeadScores)
    first = records(scored.reason_table(n=2))[:2]
    assert [row[1] for row in first] == [1, 2]
    assert {row[2] for row in first} <= set(KNOWN_IN_TIME)
    card = str(scored.card())
    assert "the lead converted within 90 days of its creation" in card
    assert "2024-12-31" in card
    assert repr(scored).startswith(f"LeadScores of {len(scored.scores):,} leads\nEvaluation out of time")


# -- lost leads ----------------------------------------------------------------------------------------------------


def test_lost_leads_are_learnt_from_and_not_scored(made, scored):
    is_lost = (made.leads["stage"] == "Lost").to_numpy()
    nobody, renamed = made.leads.assign(stage="open"), made.leads["stage"].replace("Lost", "Closed Lost")
    options = {"as_of": AS_OF, "model": "logistic", "features": KNOWN_IN_TIME}
    with warnings.catch_warnings(action="ignore"):
        every = score_leads(nobody, **options)
        kept = score_leads(made.leads, **options, lost=[])
        closed = score_leads(made.leads.assign(stage=renamed), **options, lost=["Lost", "Closed Lost"])
    assert records(closed.scores) == records(scored.scores)
    assert records(kept.scores) == records(every.scores)
    assert not set(scored.scores["lead_id"]) & set(made.leads["lead_id"][is_lost])
    both = scored.scores.merge(every.scores, on="lead_id", suffixes=("", "_every"))
    assert (both["conversion_probability"] == both["conversion_probability_every"]).all()  # failures as before
    assert (both["remaining_probability"] >= both["remaining_probability_every"]).all()  # still open is a good sign
    counts = [one.grade_table["open_count"].sum() for one in (scored, every)]
    young_lost = is_lost & (made.leads["created_at"] > pd.Timestamp("2024-10-02")).to_numpy()
    assert counts[1] - counts[0] == young_lost.sum()


def test_what_open_leads_bring_is_what_they_bring():
    """Over three worlds: without what is known of losses by age, it would be a third less."""
    said = came = 0.0
    for seed in range(3):
        made = make_leads(2500, random_state=seed)
        with warnings.catch_warnings(action="ignore"):
            result = score_leads(made.leads, as_of=AS_OF, model="logistic", features=KNOWN_IN_TIME)
        young = result.scores[result.scores["age_days"] < 90]
        days = made.truth.set_index("lead_id")["conversion_days"].loc[young["lead_id"]]
        said, came = said + result.grade_table["expected_conversion_count"].sum(), came + (days < 90).sum()
    assert said == pytest.approx(came, rel=0.12)  # two standard errors of some 270 conversions


@QUIET
def test_a_loss_by_another_name_is_told(made):
    leads = made.leads.assign(stage=made.leads["stage"].replace("Lost", "Closed Lost"))
    with pytest.warns(
        DataQualityWarning, match=r"no lead is in a stage lost=\['Lost'\], but some are in \['Closed Lost"
    ):
        score_leads(leads, as_of=AS_OF, model="logistic", features=KNOWN_IN_TIME)
    with pytest.raises(SchemaError, match=r'lost must be names of stages such as \["Lost"\], got None'):
        score_leads(leads, as_of=AS_OF, lost=None)


@pytest.mark.parametrize("kind", ["pandas", "polars-lazy", "pyarrow", "duckdb"])
def test_a_date_of_conversion_on_the_day_of_creation_is_day_0(kind):
    """Leads come in at noon; 1 to 4 convert by date on the same day, the next, the one before, and an hour before."""
    noon = dt.datetime(2024, 1, 10, 12)
    at = [dt.datetime(2024, 1, 10), dt.datetime(2024, 1, 11), dt.datetime(2024, 1, 9), noon - dt.timedelta(hours=1)]
    leads = make_frame({"lead_id": [1, 2, 3, 4], "created_at": [noon] * 4, "converted_at": at}, kind)
    with warnings.catch_warnings(action="ignore"):  # tables in memory say that two lines are set aside
        known = read_known(leads, as_of=AS_OF, caller="test")
    assert known.table["lead_id"].tolist() == [1, 2]
    assert known.days.tolist() == [0.0, 0.5]


@QUIET
def test_fields_that_tell_the_outcome_by_their_value_are_left_out():
    leads = simulated(900, seed=4)
    won = (leads["converted_at"] < pd.Timestamp(AS_OF)).to_numpy()
    rng = np.random.default_rng(0)
    leads = leads.assign(visits=rng.integers(0, 9, 900), has_contract=won, invoices=np.where(won, 2, 0))
    leads["phone"] = np.where(won, "yes", "(bitte)\u00a0")  # what this form says for nothing
    with pytest.warns(DataQualityWarning, match=r"\['phone', 'has_contract', 'invoices'\] seem to be filled in after"):
        result = score_leads(leads, as_of=AS_OF, model="logistic", missing_words=["(Bitte)"])
    assert list(result.model.feature_names_in_) == ["visits"]


# -- events --------------------------------------------------------------------------------------------------------


@QUIET
def test_only_events_before_the_creation_of_a_lead_count():
    rng = np.random.default_rng(5)
    leads = simulated(900, seed=2).assign(size=rng.integers(0, 9, 900))
    created = leads["created_at"]
    clicks = pd.DataFrame({
        "customer_id": [0, 0, 0, 0, 5, 77_777], "event": ["visit", "visit", "form", "call", "form", "visit"],
        "timestamp": [created[0] - pd.Timedelta(days=n) for n in (4, 2, 1)] + [created[0], created[5], created[0]],
    })  # fmt: skip
    result = score_leads(leads, as_of=AS_OF, events=clicks, model="logistic")
    added = result.unconverted.set_index("lead_id")
    names = ["prior_event_count", "prior_event_kind_count", "days_since_first_event", "days_since_last_event"]
    if 0 in added.index:
        assert added.loc[0, names].tolist() == [3, 2, 4, 1]
    assert (added.loc[added.index != 0, "prior_event_count"] == 0).all()
    assert added.loc[added.index != 0, "days_since_last_event"].isna().all()
    with pytest.raises(SchemaError, match=r"customer_id is .* in Events, lead_id .* in Leads"):
        score_leads(leads, as_of=AS_OF, events=clicks.assign(customer_id=clicks["customer_id"].astype(str)))
    with pytest.raises(SchemaError, match="no event lies before the creation of its lead"):
        score_leads(leads, as_of=AS_OF, events=clicks.assign(timestamp=created.max()))


# -- time to conversion --------------------------------------------------------------------------------------------


def test_times_by_hand(frame):
    """web: converted after 10, 30 and 3 days; fair: nobody yet, seen for 50 and 5 days."""
    leads = frame(HAND)
    table = conversion_time_table(leads, as_of=day(60), by="source", horizons=["7d", "30d", "90d"])
    assert type(table) is type(leads)
    fair, web = records(table)
    assert (fair[0], web[0]) == ("fair", "web")
    assert (fair[1:3], web[1:3]) == ((2, 0), (3, 3))
    assert (fair[3], web[3]) == (None, 10.0)
    by_7, by_30, by_90 = web[6], web[9], web[12]
    assert by_7 == pytest.approx(1 / 3)
    assert (by_30, by_90) == (1.0, 1.0)
    assert (fair[6], fair[9]) == (0.0, 0.0)
    assert fair[12] is None  # nobody was seen for so long


def test_leads_cut_off_count_while_they_were_seen():
    leads = simulated(4000, seed=3)
    row = records(conversion_time_table(leads, as_of=AS_OF, horizons=["90d"]))[0]
    assert row[5] == pytest.approx(0.30, abs=0.025)
    assert row[6] < 0.30 < row[7]
    assert row[1] / row[0] < 0.28  # the share so far


def test_missing_groups_are_named_and_undated_leads_left_out():
    leads = pd.DataFrame(HAND)
    words = [row[0] for row in records(conversion_time_table(leads, as_of=day(80), by="source"))]
    assert words == ["fair", "unknown", "web"]
    undated = leads.assign(converted=[True, True, False, True, True, False, True])
    undated.loc[0, "converted_at"] = None
    with pytest.warns(
        DataQualityWarning,
        match="1 of 5 conversions have no converted_at and are left out: the shares converted are too low",
    ):
        table = conversion_time_table(undated, as_of=day(80))
    assert records(table)[0][0] == 6


# -- the model -----------------------------------------------------------------------------------------------------


def ready(rows=300, seed=0):
    rng = np.random.default_rng(seed)
    visits = rng.integers(0, 10, rows)
    industry = rng.choice(["Retail", "Health", "Select"], rows)
    odds = 0.4 * visits - 3 + (industry == "Health")
    return {
        "lead_id": np.arange(rows), "visits": visits.astype(float), "industry": industry,
        "converted": rng.random(rows) < 1 / (1 + np.exp(-odds)),
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:LeadModel.fit")
def test_keeps_the_contract_of_estimators():
    columns = {name: list(values) for name, values in ready().items()}
    check_table_estimator(LeadModel(model="logistic"), columns, kinds=["pandas", "polars"], tolerance=1e-6)


@pytest.mark.filterwarnings("ignore:LeadModel.fit")
def test_words_for_no_answer_are_missing_in_every_engine(frame):
    leads = ready()
    model = LeadModel(model="logistic").fit(pd.DataFrame(leads))
    spelt = leads | {"industry": np.where(leads["industry"] == "Select", " SELECT ", leads["industry"])}
    nothing = leads | {"industry": [None if one == "Select" else one for one in leads["industry"]]}
    pasted = leads | {"industry": np.where(leads["industry"] == "Select", "select\u00a0\t", leads["industry"])}
    scores = [records(model.score_table(frame(one))) for one in (leads, spelt, nothing, pasted)]
    assert scores[0] == scores[1] == scores[2] == scores[3]
    assert "Select" not in str(records(model.reason_table(pd.DataFrame(leads)))[:900])
    kept = LeadModel(model="logistic", missing_words=[]).fit(pd.DataFrame(leads))
    assert "Select" in str(kept.fitted_.encoder.features)


@pytest.mark.filterwarnings("ignore:LeadModel.fit")
def test_the_outcome_by_other_names_is_never_learnt_from(made):
    raw = made.leads.drop(columns=["contract_type", "last_call_result"])
    model = LeadModel(purge="90d", model="logistic").fit(raw.assign(converted_at=raw["converted_at"].astype(str)))
    assert not set(model.feature_names_in_) & {"stage", "converted_at", "converted", "lead_id", "created_at"}
    assert {"visits", "source"} <= set(model.feature_names_in_)
    with pytest.raises(SchemaError, match="features names 'stage', which is the key, the outcome"):
        LeadModel(purge="90d", features=["stage", "visits"]).fit(raw)
    with pytest.raises(SchemaError, match="exclude names 'stag', no such column"):
        LeadModel(purge="90d", exclude=["stag"]).fit(raw)


@pytest.mark.filterwarnings("ignore:LeadModel.fit")
def test_numbers_with_question_marks_are_numbers():
    leads = ready()
    asked = leads | {"visits": ["?" if n % 10 == 0 else str(int(v)) for n, v in enumerate(leads["visits"])]}
    model = LeadModel(model="logistic").fit(pd.DataFrame(asked))
    assert {feature.name: feature.levels for feature in model.fitted_.encoder.features}["visits"] is None


def test_grades_by_hand():
    grades = {"A": 2.0, "B": 1.0, "C": 0.5, "D": 0.0}
    assert grade_codes(np.array([3.0, 2.0, 1.99, 1.0, 0.5, 0.49, 0.0]), grades).tolist() == [0, 0, 1, 1, 2, 3, 3]
    assert grade_codes(np.array([0.3, 9.0]), {"only": 0.0}).tolist() == [0, 0]


@pytest.mark.parametrize("grades", [{"A": 2, "B": 1}, {"A": 1, "B": 2, "C": 0}, "ABCD", {}, {"A": "two", "B": 0}])
def test_grades_that_leave_leads_without_one_are_refused(grades):
    with pytest.raises(SchemaError, match="grades must give the least lift of each, falling to 0 for the last"):
        LeadModel(grades=grades).fit(pd.DataFrame(ready()))


@pytest.mark.filterwarnings("ignore:LeadModel.fit")
def test_the_stated_time_is_asked_for():
    leads = pd.DataFrame(ready()).assign(created_at=pd.date_range("2024-01-01", periods=300))
    with pytest.raises(SchemaError, match='such as purge="90d"'):
        LeadModel().fit(leads)


# -- few leads, refusals -------------------------------------------------------------------------------------------


def test_two_hundred_leads_are_enough_and_it_says_so():
    made = make_leads(280, random_state=1)
    with pytest.warns(DataQualityWarning) as told:
        result = score_leads(made.leads, as_of=AS_OF, features=KNOWN_IN_TIME)
    text = " ".join(str(one.message) for one in told)
    assert "leads are old enough to learn from" in text
    assert "PointsScorecard" in text
    assert "only smooth models with a strong ridge are tried" in text.replace("\n", " ")
    spread = result.scores["conversion_probability"]
    assert spread.max() < 0.95
    assert spread.min() > 0.01


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        ({}, {"as_of": "2023-01-01"}, SchemaError, r"no lead was created before as_of"),
        ({}, {"within": "400d"}, SchemaError, r"no lead is 400 days old at as_of, the oldest is 365.*within=\"182d\""),
        ({}, {"within": 90}, SchemaError, r'within must be a duration in days or weeks such as within="90d"'),
        ({}, {"features": "visits"}, SchemaError, r"features must be a list of names such as \['visits'\]"),
        ({}, {"features": ["visit"]}, MissingColumnsError, r"'visit', no such column. Did you mean 'visits'"),
        ({}, {"features": ["converted_at"]}, SchemaError, r"which is the outcome, or the time or key of a lead"),
        ({"converted_at": None}, {}, SchemaError, r"of 285 leads 90 days old or more none converted in that time"),
    ],
)
def test_says_what_is_wrong(change, options, error, message):
    leads = simulated(400).assign(visits=1.0, **dict.fromkeys(change, pd.NaT))
    with pytest.raises(error, match=message):
        score_leads(leads, **({"as_of": AS_OF} | options))


def test_leads_without_an_outcome_or_an_attribute_are_refused():
    leads = simulated(400)
    with pytest.raises(
        MissingColumnsError, match=r"needs 'converted_at' \(or 'converted'\).*converted_at='<your column>'"
    ):
        score_leads(leads.drop(columns="converted_at").assign(visits=1), as_of=AS_OF)
    with pytest.raises(SchemaError, match="no source and no attribute to learn from"):
        score_leads(leads, as_of=AS_OF)
    with pytest.raises(SchemaError, match=r"lead_id.*appear more than once"):
        score_leads(pd.concat([leads, leads.head(1)]).assign(visits=1), as_of=AS_OF)


@pytest.mark.filterwarnings("ignore:LeadModel.fit", "ignore:score_leads. .* leads are old enough")
def test_without_dates_every_conversion_counts_and_it_says_so():
    leads = simulated(900).assign(visits=np.random.default_rng(0).integers(0, 9, 900))
    leads["converted"] = leads["converted_at"] < pd.Timestamp(AS_OF)
    with pytest.warns(
        DataQualityWarning, match=r"\d+ of \d+ conversions have no converted_at: they count as converted"
    ):
        result = score_leads(Leads(leads.drop(columns="converted_at")), as_of=AS_OF, model="logistic")
    assert result.model.base_rate_ == pytest.approx(0.30, abs=0.05)
    assert all(math.isnan(value) for value in result.scores["remaining_probability"])


# -- pictures ------------------------------------------------------------------------------------------------------


def test_picture_of_the_grades(scored):
    table = scored.grade_table
    ax = plot_grades(table)
    heights = [bar.get_height() for bar in ax.patches]
    assert heights == pytest.approx(table["converted_share"].tolist(), nan_ok=True)
    assert [text.get_text().split("\n")[0] for text in ax.get_xticklabels()] == ["A", "B", "C", "D"]
    with pytest.raises(
        MissingColumnsError, match=r"plot_grades needs the columns \['grade'.*score_leads\(...\).grade_table"
    ):
        plot_grades(scored.scores.drop(columns="grade"))
