"""Quoting measured on labelled sets: does the first quotation, do three, does the answer hold the gold answer?

    python bench/answers.py [--questions 300]          the table
    python bench/answers.py --fit                      weights for kb/answer/extract.py, each set also held out

The first run loads the sets, which takes minutes. `passages` is the ceiling: the gold answer is in what was read.
"""

from __future__ import annotations

import argparse

import lab
import numpy as np

from kb.answer import extract, quotations

SETS = (("squad2_en", ""), ("cmrc2018_zh", ""), ("xquad_en_zh", "xquad-zh"), ("support_emanual_en", ""))
FITTED = {
    "read by the encoder": ("squad2_en", "support_emanual_en"),
    "by words alone": ("cmrc2018_zh", "xquad_en_zh"),
}


def table(data: dict[str, list[lab.Row]]) -> None:
    """One line a set."""
    from score import contains, f1

    print(f"{'set':20}{'questions':>10}{'first':>8}{'three':>8}{'answer':>8}{'F1':>7}{'passages':>10}")
    for name, found in data.items():
        got = []
        for row in found:
            gold = row.query["answers"]
            quotes = quotations.choose(row.reading, row.passages)
            text = quotations.compose(quotes)
            got.append(
                (
                    contains(quotes[0].text if quotes else "", gold),
                    contains(" ".join(quote.text for quote in quotes), gold),
                    contains(text, gold),
                    max(f1(text, each) for each in gold),
                    contains(" ".join(p.text for p in row.passages[: extract.PASSAGES_READ]), gold),
                )
            )
        first, three, answer, overlap, ceiling = np.mean(got, axis=0)
        print(f"{name:20}{len(got):10}{first:8.3f}{three:8.3f}{answer:8.3f}{overlap:7.3f}{ceiling:10.3f}")


def lists(found: list[lab.Row]) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each question the features of its sentences, and which of them hold the answer."""
    from score import contains

    out = []
    for row in found:
        features = np.array(
            [[quote.features[name] for name in extract.FEATURES] for quote in row.reading.quotes]
        )
        good = np.array([contains(quote.text, row.query["answers"]) for quote in row.reading.quotes], float)
        if len(features) and 0 < good.sum() < len(good):
            out.append((features, good))
    return out


def fit(questions: list[tuple[np.ndarray, np.ndarray]], steps: int = 400) -> np.ndarray:
    """Weights that put the probability of each list (softmax) on its good sentences; Adam with a little decay."""
    weights = mean = square = np.zeros(len(extract.FEATURES))
    for step in range(1, steps + 1):
        slope = -0.01 * weights
        for features, good in questions:
            chance = np.exp(features @ weights - (features @ weights).max())
            chance /= chance.sum()
            wanted = chance * good / (chance * good).sum()
            slope = slope + features.T @ (wanted - chance) / len(questions)
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        weights = weights + 0.1 * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return weights


def first_right(weights: np.ndarray, questions: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Share of lists whose best sentence is a good one."""
    return float(np.mean([good[np.argmax(features @ weights)] for features, good in questions]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=int, default=300, help="questions a set")
    parser.add_argument("--fit", action="store_true", help="find weights instead of using those in force")
    options = parser.parse_args()
    lab.need_sets()
    data = {
        name: lab.rows(name, keep, yes=options.questions, no=0, cached=options.fit) for name, keep in SETS
    }
    table(data)
    if not options.fit:
        return
    ready = {name: lists(found) for name, found in data.items()}
    now = {
        True: np.array([extract.WEIGHTS[name] for name in extract.FEATURES]),
        False: np.array([extract.WEIGHTS_BLIND[name] for name in extract.FEATURES]),
    }
    for title, names in FITTED.items():
        both = fit([each for name in names for each in ready[name]])
        print(f"\n{title}: share of questions whose first sentence is right, where one is")
        for name in names:
            half = len(ready[name]) // 2
            own = fit(ready[name][:half])
            other = fit([each for each_name in names if each_name != name for each in ready[each_name]])
            in_force = first_right(now[title.startswith("read")], ready[name])
            print(
                f"  {name:20} in force {in_force:.3f}  fitted on the other set {first_right(other, ready[name]):.3f}"
                f"  on its first half, second half {first_right(own, ready[name][half:]):.3f}  on both {first_right(both, ready[name]):.3f}"
            )
        print(
            "  "
            + ", ".join(
                f'"{name}": {weight:.2f}' for name, weight in zip(extract.FEATURES, both, strict=True)
            )
        )


if __name__ == "__main__":
    main()
