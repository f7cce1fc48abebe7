"""What make_leads promises: leads whose way, outcome and late fields are those of the truth beside them."""

import numpy as np
import pandas as pd
import pytest

from crmlytics import Leads
from crmlytics.datasets._leads import OWNERS, STAGES, make_leads
from crmlytics.exceptions import SchemaError

MADE = make_leads(20_000, random_state=1)
END = pd.Timestamp("2024-12-31")


def test_the_same_seed_makes_the_same_leads():
    one, same, other = (make_leads(60, random_state=seed) for seed in (4, 4, 5))
    for name in one.__slots__:
        pd.testing.assert_frame_equal(getattr(one, name), getattr(same, name))
    assert not one.leads.equals(other.leads)


def test_leads_have_the_canonical_columns_and_nothing_is_known_of_after_the_end():
    made = make_leads(400, start="2023-05-01", days=100, random_state=2)
    leads, end = made.leads, pd.Timestamp("2023-08-09")
    table = Leads(leads)
    assert table.has("lead_id", "created_at", "source", "stage", "owner", "converted", "converted_at")
    assert leads["created_at"].is_monotonic_increasing
    assert leads["created_at"].min() >= pd.Timestamp("2023-05-01")
    assert leads["created_at"].max() < end
    assert leads["converted_at"].max() < end
    assert made.stage_history["timestamp"].max() < end
    assert made.stage_history["timestamp"].is_monotonic_increasing


def test_leads_convert_as_often_and_as_fast_as_the_truth_says():
    days = (MADE.leads["converted_at"] - MADE.leads["created_at"]).dt.total_seconds() / 86_400
    old = MADE.leads["created_at"] < END - pd.Timedelta(days=90)
    p, came = MADE.truth["probability_within_90d"][old], (days < 90)[old]
    assert abs(came.sum() - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum())
    for part in np.array_split(np.argsort(p.to_numpy()), 5):  # at every height of the probability
        expected = p.to_numpy()[part]
        assert abs(came.to_numpy()[part].sum() - expected.sum()) < 4 * np.sqrt((expected * (1 - expected)).sum())
    ever = MADE.truth["conversion_days"].notna()
    chance = MADE.truth["conversion_probability"]
    assert abs(ever.sum() - chance.sum()) < 4 * np.sqrt((chance * (1 - chance)).sum())
    assert days.dropna().to_numpy() == pytest.approx(MADE.truth["conversion_days"][days.notna()].to_numpy(), abs=1e-4)


def test_log_odds_are_the_sum_of_the_planted_effects():
    leads, effects = MADE.leads, MADE.effects.set_index(["column", "level"])["log_odds"]
    known = leads["company_size"].notna()
    sums = np.full(len(leads), effects["(intercept)", ""])
    for column in ("source", "industry", "job_title", "country", "demo_requested", "owner"):
        sums += effects[column].reindex(leads[column].astype(str)).to_numpy()
    sums += effects["visits", ""] * np.log1p(leads["visits"])
    sums += effects["company_size", ""] * np.log(leads["company_size"] / 50)
    p = MADE.truth["conversion_probability"]
    assert np.log(p / (1 - p))[known].to_numpy() == pytest.approx(sums[known].to_numpy())
    assert set(effects["owner"].index) == set(OWNERS)


def test_the_favoured_owner_gets_good_leads_only_and_is_average():
    without = make_leads(5000, owner_effect=0, random_state=3)
    p = without.truth["conversion_probability"]
    hers = without.leads["owner"] == "Cleo"
    assert p[hers].min() >= np.quantile(p, 0.7) - 1e-9
    assert p[hers].mean() > 1.5 * p[~hers].mean()


def test_the_stage_of_a_lead_is_its_last_record_and_stages_pass_as_planted():
    last = MADE.stage_history.groupby("lead_id")["stage"].last()
    assert (last[MADE.leads["lead_id"]].to_numpy() == MADE.leads["stage"].to_numpy()).all()
    assert (MADE.leads["converted"] == (MADE.leads["stage"] == "Won")).all()
    assert MADE.stage_history["reason"].notna().sum() > 0
    assert MADE.stage_history["reason"][MADE.stage_history["stage"] != "Lost"].isna().all()
    assert MADE.stages["stage"].tolist() == list(STAGES)
    onward = MADE.stages["moved_on_probability"].to_numpy()
    assert np.cumprod(onward[::-1])[::-1] == pytest.approx(MADE.stages["win_probability"].to_numpy())
    assert MADE.stages["win_probability"][0] == pytest.approx(MADE.truth["conversion_probability"].mean())


def test_some_skip_a_stage_and_some_go_back():
    seen = MADE.stage_history.groupby("lead_id")["stage"].agg(list)
    proposed = seen[[("Proposal" in stages) for stages in seen]]
    skipped = np.mean(["Qualified" not in stages for stages in proposed])
    back = np.mean([stages.count("Proposal") > 1 for stages in proposed])
    assert skipped == pytest.approx(0.08, abs=0.01)
    assert back == pytest.approx(0.06 * 0.92, abs=0.012)  # of those who did not skip; some have not come back yet


def test_late_fields_are_filled_late():
    leads = MADE.leads
    assert MADE.late_fields["column"].tolist() == ["contract_type", "last_call_result"]
    assert leads["contract_type"][~leads["converted"]].isna().all()
    assert leads["contract_type"][leads["converted"]].notna().mean() == pytest.approx(0.97, abs=0.01)
    age = (END - leads["created_at"]).dt.days
    called = leads["last_call_result"].notna()
    assert called[age > 300].mean() > 0.98
    assert called[age < 20].mean() < 0.3


def test_says_what_is_out_of_range():
    with pytest.raises(SchemaError, match=r"make_leads: n_leads must be a whole number of at least 1, got 0"):
        make_leads(0)
    with pytest.raises(SchemaError, match=r"make_leads: loss_delay must be a number above zero, got 0"):
        make_leads(5, loss_delay=0)
    with pytest.raises(SchemaError, match=r"make_leads: owner_effect must be a number of zero or more, got -1"):
        make_leads(5, owner_effect=-1)
