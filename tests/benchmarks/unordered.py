"""Interchangeable worked examples: tokens evaluated and accuracy, as ranked and as planned.

    python tests/benchmarks/unordered.py --data FOLDER

FOLDER holds `banking77-test.csv` (text,category; PolyAI task-specific-datasets). For each question
the most similar of a pool of labelled examples are its worked examples, best first; the model
chooses among the categories of the pool. "As given" appends them in that order, "planned" with
`tg.unordered`. Both run with a cold cache, from the same rows, one after the other.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import random
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import treegram as tg
from treegram.runtime.model import Model
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.runtime import embedded_model_path

CATEGORIES = 8
SHOTS = 6


@tg.function
def as_given(s: tg.State, shots: list[str], question: str, labels: list[str]) -> None:
    s += "Say what each customer's message is about.\n\n" + "\n\n".join(shots)
    s += f"\n\nMessage: {question}\nTopic:" + tg.select("topic", labels)


@tg.function
def planned(s: tg.State, shots: list[str], question: str, labels: list[str]) -> None:
    s += "Say what each customer's message is about.\n\n"
    s += tg.unordered(shots)
    s += f"\n\nMessage: {question}\nTopic:" + tg.select("topic", labels)


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def rows_of(path: Path, n_rows: int) -> tuple[list[dict[str, Any]], list[str]]:
    """The program's rows, and the right label of each."""
    with path.open(encoding="utf-8", newline="") as stream:
        items = list(csv.DictReader(stream))
    rng = random.Random(7)
    categories = rng.sample(sorted({item["category"] for item in items}), CATEGORIES)
    items = [item for item in items if item["category"] in categories]
    rng.shuffle(items)
    labels = [" " + c.replace("_", " ") for c in categories]
    pool, questions = items[: 4 * CATEGORIES], items[4 * CATEGORIES :][:n_rows]
    document_count = Counter(w for item in pool for w in words(item["text"]))
    rows, right = [], []
    for item in questions:
        asked = words(item["text"])

        def similarity(shot: dict[str, str], asked: set[str] = asked) -> float:
            return sum(math.log(len(pool) / document_count[w]) for w in asked & words(shot["text"]))

        best = sorted(pool, key=similarity, reverse=True)[:SHOTS]
        shots = [f"Message: {s['text']}\nTopic: {s['category'].replace('_', ' ')}" for s in best]
        rows.append({"shots": shots, "question": item["text"], "labels": labels})
        right.append(" " + item["category"].replace("_", " "))
    return rows, right


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of banking77-test.csv")
    parser.add_argument("--rows", type=int, default=64, help="questions (default 64)")
    args = parser.parse_args()
    rows, right = rows_of(args.data / "banking77-test.csv", args.rows)
    load = os.getloadavg()[0]
    print(f"{len(rows)} rows, {SHOTS} of {4 * CATEGORIES} examples each, load {load:.1f}")
    print("| order | tokens evaluated | seconds | right |")
    print("|---|--:|--:|--:|")
    for name, program in (("as given", as_given), ("planned", planned)):
        model = Model("bench", embedded_model_path(), ModelOptions())
        try:
            began = time.perf_counter()
            states = program.run_batch(rows, model=model, progress=False)
            seconds = time.perf_counter() - began
            evaluated = model.stats().evaluated_tokens
        finally:
            model.close()
        correct = sum(s["topic"] == label for s, label in zip(states, right, strict=True))
        print(f"| {name} | {evaluated} | {seconds:.1f} | {correct}/{len(rows)} |")
    report = planned.order_report()
    shared = (report.saved / report.total, report.saved_as_given / report.total)
    print(
        "examples that earlier prompts began with: {:.0%} planned, {:.0%} as given".format(*shared)
    )


if __name__ == "__main__":
    main()
