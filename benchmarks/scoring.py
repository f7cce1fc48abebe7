"""Scores on public tables: how good ours are beside plain peers on the same folds, and what they cost.

Run with ``python benchmarks/scoring.py <folder>``; the folder has telco_churn.parquet, bank_marketing.parquet,
online_shoppers.parquet and iranian_churn.parquet. Five stratified folds (seed 42). Peers: scikit-learn's histogram
boosting as it comes, and a logistic regression on one-hot columns. AUC is the mean over folds; ECE pools the rows held
out in ten bins of equal mass.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from crmlytics._kernels.classification import calibration_error
from crmlytics.scoring import ScoringModel

TABLES = {
    "Telco": ("telco_churn", "Churn", ["customerID"]),
    "Iranian, duplicates removed": ("iranian_churn", "Churn", []),
    "Online Shoppers": ("online_shoppers", "Revenue", []),
    "Bank without duration": ("bank_marketing", "y", ["duration"]),
}
WORDS = make_column_selector(dtype_exclude=["number", "bool"])
NUMBERS = make_column_selector(dtype_include=["number", "bool"])


def read(folder, name, target, dropped):
    table = pd.read_parquet(Path(folder) / f"{name}.parquet").drop(columns=dropped)
    if name == "iranian_churn":
        table = table.drop_duplicates().reset_index(drop=True)
    if "TotalCharges" in table:
        table["TotalCharges"] = pd.to_numeric(table["TotalCharges"], errors="coerce").fillna(0)
    return table.drop(columns=target), table[target].astype(str).isin(["Yes", "yes", "True", "1"]).to_numpy()


def ours():
    return ScoringModel(key=())


def boosting():
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer((codes, WORDS), remainder="passthrough")
    return make_pipeline(columns, HistGradientBoostingClassifier(random_state=0))


def logistic():
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), WORDS), (StandardScaler(), NUMBERS))
    return make_pipeline(columns, LogisticRegression(max_iter=1000))


def judge(make, table, y):
    areas, probability, start = [], np.empty(len(y)), time.perf_counter()
    for train, test in StratifiedKFold(5, shuffle=True, random_state=42).split(table, y):
        model = make().fit(table.iloc[train], y[train])
        probability[test] = model.predict_proba(table.iloc[test])[:, 1]
        areas.append(roc_auc_score(y[test], probability[test]))
    return np.mean(areas), calibration_error(y, probability), time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    folder = parser.parse_args().folder
    warnings.simplefilter("ignore")
    print(f"{'table':<30}{'model':<12}{'AUC':>8}{'ECE':>8}{'seconds':>9}")
    for title, (name, target, dropped) in TABLES.items():
        table, y = read(folder, name, target, dropped)
        for label, make in (("ours", ours), ("boosting", boosting), ("logistic", logistic)):
            area, error, seconds = judge(make, table, y)
            print(f"{title:<30}{label:<12}{area:>8.4f}{error:>8.4f}{seconds:>9.1f}")


if __name__ == "__main__":
    main()
