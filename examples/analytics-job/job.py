"""Which customers behave unlike the others? An isolation forest over what they did last month."""

import os
from typing import Any

import numpy as np
from sklearn.ensemble import IsolationForest

FEATURES = ("orders", "returns", "minutes_on_site", "average_basket")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    customers = event["customers"]
    table = np.array([[customer[name] for name in FEATURES] for customer in customers], dtype=float)
    share = float(os.environ.get("CONTAMINATION", "0.1"))
    forest = IsolationForest(n_estimators=50, contamination=share, random_state=0).fit(table)
    scores = forest.score_samples(table)
    unusual = [
        {"id": customer["id"], "score": round(float(score), 3)}
        for customer, score, verdict in zip(customers, scores, forest.predict(table), strict=True)
        if verdict == -1
    ]
    return {"customers": len(customers), "unusual": sorted(unusual, key=lambda one: one["score"])}
