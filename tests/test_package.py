"""What the package promises as a whole: light to import, everything named once, the floors hold."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import crmlytics as crm
from crmlytics.exceptions import CrmlyticsError, MissingColumnsError, MissingDependencyError, SchemaError

HEAVY = ["pandas", "numpy", "scipy", "sklearn", "matplotlib", "numba", "pyarrow", "narwhals", "jinja2"]


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_loads_nothing_heavy():
    loaded = run("import sys, crmlytics; print(*sorted(m for m in sys.modules if '.' not in m))").split()
    assert not set(HEAVY) & set(loaded)


def test_listing_names_loads_nothing_heavy():
    assert run(f"import sys, crmlytics; dir(crmlytics); print(*set({HEAVY}) & set(sys.modules))").split() == []


@pytest.mark.parametrize(
    "topic",
    [
        "affinity",
        "sequences",
        "clickstream",
        "churn",
        "propensity",
        "leads",
        "campaigns",
        "profiling",
        "segmentation",
        "channels",
        "partners",
        "support",
        "snapshots",
        "scoring",
        "metrics",
        "decisions",
    ],
)
def test_a_topic_that_mines_loads_neither_compiler_nor_scipy_before_anything_is_asked(topic):
    code = f"import sys, crmlytics.{topic}; print(*{{'numba', 'scipy', 'matplotlib'}} & set(sys.modules))"
    assert run(code).split() == []


@pytest.mark.parametrize("name", crm.__all__)
def test_every_public_name_is_there_and_documented(name):
    assert (getattr(crm, name).__doc__ or "").strip()


@pytest.mark.parametrize(
    "topic",
    [
        "rfm",
        "value",
        "revenue",
        "clv",
        "affinity",
        "sequences",
        "clickstream",
        "churn",
        "propensity",
        "leads",
        "campaigns",
        "profiling",
        "segmentation",
        "channels",
        "partners",
        "support",
        "snapshots",
        "scoring",
        "metrics",
        "decisions",
        "scorecard",
        "report",
        "datasets",
        "testing",
    ],
)
def test_every_public_function_of_a_topic_is_listed_and_documented(topic):
    module = importlib.import_module(f"crmlytics.{topic}")
    assert module.__all__ == sorted(module.__all__, key=lambda name: (not name.isupper(), name))
    for name in module.__all__:
        assert (getattr(module, name).__doc__ or "").strip(), name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'crmlytics' has no attribute 'nonsense'"):
        _ = crm.nonsense


def test_errors_are_one_family_that_also_fits_python_s_own():
    assert issubclass(MissingColumnsError, SchemaError)
    assert issubclass(SchemaError, (CrmlyticsError, ValueError))
    assert issubclass(MissingDependencyError, CrmlyticsError)
    assert issubclass(MissingDependencyError, ImportError)


def test_the_package_is_typed():
    assert (Path(crm.__file__).parent / "py.typed").exists()
