"""What words, pictures and pseudonyms of a profile promise."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from crmlytics._frames import to_pandas
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.profiling._plots import plot_profile, plot_profile_card
from crmlytics.profiling.describing import describe_profiles
from crmlytics.profiling.profiles import profile_table
from crmlytics.profiling.pseudonyms import pseudonymise
from crmlytics.testing import FRAME_KINDS, make_frame

mpl.use("Agg")
SECRET = "a secret of our own"  # noqa: S105  it protects nobody
CUSTOMERS = {
    "customer_id": list(range(400)),
    "segment": ["gold"] * 100 + ["other"] * 300,
    "plan": ["year"] * 80 + ["month"] * 20 + ["year"] * 60 + ["month"] * 240,
    "visits": [10.0, 12.0] * 50 + [7.0, 9.0, 11.0] * 100,
    "noise": [1.0, 2.0, 3.0, 4.0] * 100,
}


def profile(**options):
    return profile_table(pd.DataFrame(CUSTOMERS), **{"least_count": 5} | options)


# -- words -----------------------------------------------------------------------------------------------------------


def test_findings_by_hand():
    found = describe_profiles(profile())
    assert found["finding"].tolist() == [
        "gold: visits 11 on average, 9.5 of all customers (higher than others in 83% of comparisons)",
        "gold: plan = year in 80%, in 35% of all customers (2.3 times as often)",
        "other: visits 9 on average, 9.5 of all customers (lower than others in 83% of comparisons)",
        "other: plan = year in 20%, in 35% of all customers (0.6 times as often)",
    ]
    assert found["rank"].tolist() == [1, 2, 1, 2]
    assert describe_profiles(profile(), n=1)["column"].tolist() == ["visits", "visits"]


@pytest.mark.parametrize("kind", [kind for kind in FRAME_KINDS if kind != "pyspark"])
def test_findings_come_as_the_kind_that_came_in(kind):
    table = profile_table(make_frame(CUSTOMERS, kind), least_count=5)
    found = describe_profiles(table)
    assert type(found) is type(table)
    assert to_pandas(found)["finding"].tolist() == describe_profiles(profile())["finding"].tolist()


def test_segments_that_nothing_sets_apart():
    table = pd.DataFrame(CUSTOMERS)[["customer_id", "segment", "noise"]]
    found = describe_profiles(profile_table(table))
    assert found["finding"].tolist() == [
        "gold: nothing that is shown sets it apart by more than chance",
        "other: nothing that is shown sets it apart by more than chance",
    ]
    assert found[["column", "level", "effect_size"]].isna().all(axis=None)
    few = pd.DataFrame({"segment": ["a"] * 10 + ["b"] * 10, "x": [1.0, 2, 3, 4, 5] * 2 + [2.0, 3, 4, 5, 6] * 2})
    unsure = profile_table(few, key=None, least_count=5)
    assert unsure["effect_size"].abs().min() > 0.5
    assert describe_profiles(unsure)["column"].isna().all()


def test_what_formed_the_segments_is_told_as_such():
    found = describe_profiles(profile(formed_by=["visits"]), n=1)
    assert found["finding"].str.endswith("; the segments were formed by it").all()


def test_never_and_skewed_are_said():
    table = pd.DataFrame(CUSTOMERS)
    table["plan"] = np.where(table["segment"] == "gold", "month", table["plan"])
    found = describe_profiles(profile_table(table, columns=["plan"], least_count=5))
    assert found["finding"].tolist()[0] == "gold: plan = year in 0%, in 15% of all customers (never)"
    table["spend"] = [1.0, 2.0] * 40 + [900.0] * 20 + [3.0, 4.0] * 150
    found = describe_profiles(profile_table(table, columns=["spend"], least_count=5))
    assert found["finding"].tolist()[0].endswith("; the mean is higher by a few large values: most are lower")


def test_columns_that_say_the_same_are_told_once():
    """Who has no internet has none of three services: four columns, one fact."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"customer_id": range(600), "segment": np.repeat(["gold", "other"], 300)})
    has = rng.random(600) < np.repeat([0.3, 0.8], 300)
    table["net"] = np.where(has, "yes", "no")
    for service in ("music", "films", "games"):
        table[service] = np.where(has, rng.choice(["yes", "no"], 600), "no internet")
    found = describe_profiles(profile_table(table), n=9)
    first = found[found["rank"] == 1]["finding"]
    assert first.str.contains("net = no and 3 more columns in ").all()
    assert not found["finding"].str.contains("no internet").any()
    assert found[found["segment"] == "gold"]["column"].value_counts().max() == 1
    table = table.drop(columns=["films", "games"])
    labels = [tick.get_text() for tick in plot_profile(profile_table(table)).get_yticklabels()]
    assert labels[0] == "net = no and 1 more column"
    assert "music = no internet" not in labels
    card = plot_profile_card(profile_table(table), segment="gold")
    assert card.get_yticklabels()[-1].get_text() == labels[0]


def test_a_mean_without_ranks_is_told():
    table = pd.DataFrame(CUSTOMERS)
    table["kids"] = [0, 1, 2, 3, 5] * 19 + [4, 0, 0, 0, 0] + [0, 1, 0, 2, 0, 3] * 50
    found = describe_profiles(profile_table(table, columns=["kids"], least_count=5))
    assert found["finding"].tolist()[0] == "gold: kids 2.13 on average, 1.282 of all customers"


def test_words_and_pictures_need_a_profile():
    for read in (describe_profiles, plot_profile):
        with pytest.raises(MissingColumnsError, match=rf"{read.__name__} reads the result of profile_table"):
            read(pd.DataFrame({"segment": ["a"]}))


# -- pictures --------------------------------------------------------------------------------------------------------


def test_comparison_shows_segments_side_by_side():
    ax = plot_profile(profile())
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["gold", "other"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["visits", "plan = year", "noise"]
    assert [text.get_text() for text in ax.texts] == ["11", "9", "80%", "20%", "2.5", "2.5"]
    colours = ax.images[0].get_array()
    assert colours[0, 0] > 0 > colours[0, 1]
    assert len(plot_profile(profile(), most=1).get_yticklabels()) == 1
    long = profile().replace({"segment": {"gold": "high visits, plan for a whole calendar year"}})
    names = [tick.get_text() for tick in plot_profile(long).get_xticklabels()]
    assert names == ["high visits,\nplan for a whole ca…", "other"]


def test_comparison_says_what_is_hidden():
    counts = {"a": (100, 3, 50), "b": (60, 70, 80), "c": (200, 40, 20)}
    cells = [(segment, city, n) for segment in counts for city, n in zip("xyz", counts[segment], strict=True)]
    rows = pd.DataFrame([cell[:2] for cell in cells for _ in range(cell[2])], columns=["segment", "city"])
    table = profile_table(rows, key=None, least_count=5)
    ax = plot_profile(table)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["city = x", "city = y", "city = z"]
    assert [text.get_text() for text in ax.texts][3:6] == ["hidden", "33%", "hidden"]


def test_card_shows_one_segment():
    ax = plot_profile_card(profile(), segment="gold", most=2)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["plan = year", "visits"]
    assert [text.get_text() for text in ax.texts] == ["80%, all 35%", "11, all 9.5"]
    assert ax.get_title(loc="left") == "gold: what sets it apart"
    with pytest.raises(SchemaError, match=r"no segment 'god'. Did you mean 'gold'\? Segments: \['gold', 'other'\]"):
        plot_profile_card(profile(), segment="god")


# -- pseudonyms ------------------------------------------------------------------------------------------------------


def test_pseudonyms_of_rfc_4231_on_every_frame(frame):
    orders = frame({"customer_id": ["Hi There", "b", None, "Hi There"], "amount": [1, 2, 3, 4]})
    hidden = pseudonymise(orders, secret=b"\x0b" * 20)
    assert type(hidden) is type(orders)
    rows = to_pandas(hidden)
    first = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    assert rows["customer_id"].tolist()[::3] == [first, first]
    assert rows["customer_id"].isna().tolist() == [False, False, True, False]
    assert rows["amount"].tolist() == [1, 2, 3, 4]


def test_pseudonyms_join_tables_and_do_not_repeat():
    numbers = pd.DataFrame({"customer_id": range(1000)})
    text = pd.DataFrame({"id": [str(number) for number in range(1000)]})
    floats = pd.DataFrame({"customer_id": np.arange(1000.0)})
    hidden = pseudonymise(numbers, secret=SECRET)["customer_id"]
    assert hidden.nunique() == 1000
    assert hidden.tolist() == pseudonymise(text, key="id", secret=SECRET)["id"].tolist()
    assert hidden.tolist() == pseudonymise(floats, secret=SECRET)["customer_id"].tolist()
    assert not set(hidden) & set(pseudonymise(numbers, secret=SECRET + "!")["customer_id"])
    assert numbers["customer_id"].tolist() == list(range(1000))


def test_pseudonyms_refuse():
    table = pd.DataFrame({"customer_id": [1.5]})
    with pytest.raises(SchemaError, match=r"secret must be text or bytes of at least 16 characters, got 5 of them"):
        pseudonymise(table, secret="short")  # noqa: S106
    with pytest.raises(SchemaError, match=r"at least 16 characters, got NoneType. Make one by secrets.token_hex"):
        pseudonymise(table, secret=None)
    with pytest.raises(SchemaError, match=r"ids must be whole numbers or text, got 1.5 in 'customer_id'"):
        pseudonymise(table, secret=SECRET)
    with pytest.raises(MissingColumnsError, match=r"needs the column key='id', no such column.*\['customer_id'\]"):
        pseudonymise(table, key="id", secret=SECRET)
