"""Every kind of frame, as one fixture."""

import os
import shutil
from functools import partial
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: small fits, and one worker a core already

import pytest
from hypothesis import settings

from crmlytics.testing import FRAME_KINDS, make_frame

settings.register_profile("crmlytics", deadline=None, max_examples=50)  # shared machines: speed is for benchmarks/
settings.load_profile("crmlytics")

SPARK = [pytest.mark.spark, pytest.mark.xdist_group("spark")]  # one JVM, however many workers
KINDS = [pytest.param(kind, marks=SPARK if kind == "pyspark" else []) for kind in FRAME_KINDS]


@pytest.fixture(params=KINDS)
def kind(request):
    if request.param == "pyspark":
        pytest.importorskip("pyspark")
        if shutil.which("java") is None:
            pytest.skip("PySpark needs Java")
    return request.param


@pytest.fixture
def frame(kind):
    """A function from columns to a frame of one kind; a test that asks for it runs on every kind."""
    return partial(make_frame, kind=kind)


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data beside the checkout, which is not part of the repository."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared data folder is not here")
    return folder
