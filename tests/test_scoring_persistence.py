"""A model outlives its session, and scores tables that no memory would hold: files and batches."""

import datetime as dt
import json
import pickle
import pickletools
import sys
import threading
from functools import partial
from importlib import import_module

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.scoring import _batches, _persistence
from crmlytics.scoring._batches import score_any
from crmlytics.scoring._persistence import describe_model, load_model, save_model
from crmlytics.testing import records, spark_session

# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(200, 2)), columns=["recency_days", "order_count"])
    return HistGradientBoostingClassifier(max_iter=3).fit(table, table["recency_days"] > 0)


@pytest.fixture
def saved(model, tmp_path):
    path = tmp_path / "churn.model"
    save_model(model, path)
    return path


def test_a_model_comes_back_as_it_was_saved(model, saved):
    rows = pd.DataFrame({"recency_days": [-1.0, 0.5, np.nan], "order_count": [1.0, 2.0, 3.0]})
    again = load_model(str(saved), trusted=True)
    assert np.array_equal(again.predict_proba(rows), model.predict_proba(rows))
    assert [path.name for path in saved.parent.iterdir()] == ["churn.model"]  # nothing half-written is left


def test_what_is_in_a_file_is_said_without_running_it(saved):
    found = describe_model(saved)
    assert found["class"].endswith("HistGradientBoostingClassifier")
    assert found["features"] == ["recency_days", "order_count"]
    assert set(found["packages"]) == {"crmlytics", "scikit-learn", "numpy"}
    assert found["size"] == len(saved.read_bytes()) - len(json.dumps(found)) - 1


class Hostile:
    """What an attacker would save: unpickling it runs a function."""

    ran = False

    def __reduce__(self):
        return _run, ()


def _run():
    Hostile.ran = True


def test_loading_runs_code_and_so_asks_whether_the_file_is_trusted(tmp_path):
    path = tmp_path / "gift.model"
    save_model(Hostile(), path)
    with pytest.raises(
        SchemaError, match=r"holds .*Hostile, and loading it runs the code.*load_model\(path, trusted=True\)"
    ):
        load_model(path)
    with pytest.raises(SchemaError, match="trusted=True"):
        load_model(path, trusted="yes")
    describe_model(path)
    assert not Hostile.ran
    load_model(path, trusted=True)
    assert Hostile.ran


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: data[:-1] + b"?", lambda data: data + b"x"])
def test_a_damaged_file_is_found_out_before_it_is_run(saved, damage):
    saved.write_bytes(damage(saved.read_bytes()))
    with pytest.raises(SchemaError, match=r"churn\.model' is damaged: .* bytes of the model.*save the model again"):
        load_model(saved, trusted=True)


@pytest.mark.parametrize("content", [b"", b"\x80\x05N.", b"[]\n", b'{"a": 1}\n', b'{"name": "crmlytics mod'])
def test_a_file_that_is_no_saved_model_is_said_to_be_none(tmp_path, content):
    path = tmp_path / "orders.csv"
    path.write_bytes(content)
    for read in (describe_model, partial(load_model, trusted=True)):
        with pytest.raises(SchemaError, match=r"orders\.csv' is not a model that save_model saved"):
            read(path)


def rewritten(path, payload=None, **changes):
    """Change the header of a saved model as another version would have written it."""
    line, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(json.dumps(json.loads(line) | changes).encode() + b"\n" + (payload or rest))


def test_other_versions_are_warned_of_and_a_newer_format_is_refused(saved):
    packages = describe_model(saved)["packages"]
    rewritten(saved, packages=packages | {"scikit-learn": "1.2.0"})
    with pytest.warns(
        DataQualityWarning, match=r"saved with scikit-learn 1\.2\.0 \(here: .*scores may differ"
    ) as found:
        load_model(saved, trusted=True)
    assert len(found) == 1
    assert found[0].filename == __file__
    patched = ".".join([*packages["scikit-learn"].split(".")[:2], "99"])
    rewritten(saved, packages=packages | {"scikit-learn": patched})
    load_model(saved, trusted=True)  # and no warning
    rewritten(saved, format=2, packages=packages | {"crmlytics": "9.0"})
    with pytest.raises(SchemaError, match=r"has format 2, .* reads format 1.*crmlytics 9\.0: install that"):
        load_model(saved, trusted=True)


def test_what_these_versions_cannot_read_is_said_to_be_so(saved, monkeypatch):
    payload = pickle.dumps(Hostile())
    assert any("Hostile" in str(argument) or argument for _, argument, _ in pickletools.genops(payload))
    save_model(Hostile(), saved)
    monkeypatch.delitem(globals(), "_run")
    with pytest.raises(SchemaError, match=r"saved with the versions that are here, and cannot be read here: .*_run"):
        load_model(saved, trusted=True)


def test_a_model_that_cannot_be_saved_leaves_the_old_file_alone(saved, monkeypatch):
    before = saved.read_bytes()
    with pytest.raises((pickle.PicklingError, AttributeError)):
        save_model(lambda: None, saved)

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(_persistence.Path, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        save_model(1, saved)
    assert saved.read_bytes() == before
    assert len(list(saved.parent.iterdir())) == 1


# -- batches -----------------------------------------------------------------------------------------------------------

DAY = dt.datetime(2025, 3, 1)
TABLE = {
    "note": ["x"] * 5,
    "customer_id": ["d", "b", "c", "a", "a"],
    "cutoff": [DAY, DAY, DAY, DAY + dt.timedelta(days=31), DAY],
    "recency_days": [4, 2, None, 1, 7],
}
SCORES = nw.Schema({"probability": nw.Float64(), "is_late": nw.Boolean(), "decile": nw.Int64(), "grade": nw.String()})
WANTED = [
    ("a", DAY, 0.07, False, 7, "A"),
    ("a", DAY + dt.timedelta(days=31), 0.01, False, 1, "A"),
    ("b", DAY, 0.02, False, 2, "A"),
    ("c", DAY, None, None, None, None),
    ("d", DAY, 0.04, False, 4, "A"),
]


class Scorer:
    """A model that is asked for one batch at a time, and notes how large they are and what they hold."""

    key = ("customer_id", "cutoff")

    def __init__(self):
        self.seen = []

    def __call__(self, batch):
        assert isinstance(batch, pd.DataFrame)
        assert list(batch.index) == list(range(len(batch)))
        self.seen.append((len(batch), list(batch.columns)))
        days = batch["recency_days"].astype("Float64")
        return batch[list(self.key)].assign(
            probability=days / 100,
            is_late=days > 90,
            decile=days.astype("Int64"),
            grade=days.map(lambda _: "A", na_action="ignore"),
        )

    def reasons(self, batch):
        """Two rows a row, the second first."""
        twice = pd.concat([batch[list(self.key)]] * 2, ignore_index=True)
        return twice.assign(rank=np.repeat([2, 1], len(batch)), feature="recency_days")


@pytest.fixture
def workers(kind, monkeypatch):
    """Spark's workers run the Python of this process, where the library and this file are."""
    if kind == "pyspark":
        monkeypatch.setattr(spark_session().sparkContext, "pythonExec", sys.executable)
        import_module("pyspark.cloudpickle").register_pickle_by_value(sys.modules[__name__])


@pytest.mark.usefixtures("workers")
def test_every_kind_of_table_is_scored_and_handed_back_as_it_came(frame, kind, monkeypatch):
    monkeypatch.setattr(_batches, "BATCH_ROWS", 2)
    table, scorer = frame(TABLE), Scorer()
    scores = score_any(
        table, scorer, SCORES, key=Scorer.key, columns=["recency_days", "not there"], caller="ChurnModel.score_table"
    )
    assert type(scores) is type(table)
    assert nw.from_native(scores).lazy().collect_schema().names() == [*Scorer.key, *SCORES.names()]
    assert records(scores) == WANTED
    if kind != "pyspark":
        assert sorted(size for size, _ in scorer.seen) in ([1, 2, 2], [1, 1, 1, 2])
        assert {tuple(columns) for _, columns in scorer.seen} == {("customer_id", "cutoff", "recency_days")}
    reasons = nw.Schema({"rank": nw.Int64(), "feature": nw.String()})
    found = records(score_any(table, scorer.reasons, reasons, key=Scorer.key, columns=[], caller="reason_table"))
    assert found == [(*row[:2], rank, "recency_days") for row in WANTED for rank in (1, 2)]


@pytest.mark.usefixtures("workers")
def test_dtypes_are_the_ones_promised_and_whole_numbers_stay_whole(frame):
    scores = score_any(
        frame({"customer_id": [3, 1], "cutoff": [DAY, DAY], "recency_days": [10, 20]}),
        Scorer(), SCORES, key=Scorer.key, columns=["recency_days"], caller="score_table",
    )  # fmt: skip
    types = nw.from_native(scores).lazy().collect_schema()
    assert types["customer_id"] == nw.Int64
    assert {name: types[name] for name in SCORES} == dict(SCORES)
    assert records(scores)[0][:2] == (1, DAY)


@pytest.mark.usefixtures("workers")
def test_an_empty_table_has_empty_scores(frame):
    empty = frame({name: pd.Series(values)[:0] for name, values in TABLE.items()})
    scores = score_any(empty, Scorer(), SCORES, key=Scorer.key, columns=["recency_days"], caller="score_table")
    assert records(scores) == []
    assert nw.from_native(scores).lazy().collect_schema().names() == [*Scorer.key, *SCORES.names()]


def test_a_key_that_is_not_there_or_comes_twice_is_refused():
    table = pd.DataFrame(TABLE)
    options = {"columns": ["recency_days"], "caller": "ChurnModel.score_table"}
    with pytest.raises(
        MissingColumnsError, match=r"ChurnModel\.score_table: .* its key 'customer'. Did you mean 'customer_id'"
    ):
        score_any(table, Scorer(), SCORES, key=["customer"], **options)
    again = pd.concat([table, table.head(1)])
    with pytest.raises(SchemaError, match=r"one row per customer_id and cutoff, but \['d, 2025-03-01.*'\] appear more"):
        score_any(again, Scorer(), SCORES, key=Scorer.key, **options)


def test_a_classifier_that_stands_no_threads_is_asked_from_one(monkeypatch):
    monkeypatch.setattr(_batches, "BATCH_ROWS", 2)
    asked = []

    def score(batch):
        asked.append(threading.current_thread())
        return batch.assign(rank=1)

    for in_threads in (False, True):
        score_any(
            pd.DataFrame({"customer_id": range(40)}), score, nw.Schema({"rank": nw.Int64()}),
            key=["customer_id"], columns=[], caller="score_table", in_threads=in_threads,
        )  # fmt: skip
    assert set(asked[:20]) == {threading.main_thread()}
    assert threading.main_thread() not in asked[20:]


def test_lazy_tables_are_read_batch_by_batch(monkeypatch):
    """The features of a table in DuckDB are never all in memory: after the first batch nothing more is asked for."""
    duckdb = pytest.importorskip("duckdb")
    monkeypatch.setattr(_batches, "BATCH_ROWS", 2048)

    def stop(batch):
        raise InterruptedError(len(batch))

    endless = duckdb.sql("select range as customer_id, range / 7 as recency_days from range(1000000000000)")
    with pytest.raises(InterruptedError) as found:
        score_any(endless, stop, SCORES, key=["customer_id"], columns=["recency_days"], caller="score_table")
    assert found.value.args[0] <= 2048
