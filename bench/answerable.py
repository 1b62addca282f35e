"""Does "the documents hold an answer" come out right? Fits kb/answer/answerable.py and checks it across sets.

    python bench/answerable.py            AUROC of the weights in force, and what the thresholds refuse
    python bench/answerable.py --fit      weights fitted on all sets, and each set judged by weights of the others

Negatives are the sets' own unanswerable questions (squad2: the paragraph is there and does not say it; cmrc: the
paragraph is withheld; mtrag: turns without an answer), answerable ones whose gold documents are hidden while all that
lies near them is found, and 100 questions of another set asked of this one.
"""

from __future__ import annotations

import argparse

import lab
import numpy as np

from kb.answer import answerable

SIGHTED = (
    ("squad2_en", "", 400, 400, "support_emanual_en"),
    ("support_emanual_en", "", 200, 0, "squad2_en"),
    ("rag_mtrag_un_en", "", 203, 110, "squad2_en"),
    ("rag_mtrag_human_en", "", 153, 4, "squad2_en"),
    ("xquad_en_zh", "xquad-en", 200, 0, "support_emanual_en"),
    ("multihop_musique_en", "", 58, 0, "squad2_en"),
    ("multihop_2wiki_en", "", 61, 0, "squad2_en"),
    ("support_dstc10_faq_en", "", 69, 91, "squad2_en"),
)
HIDDEN = 100  # answerable questions of each set asked again with their gold documents hidden
BLIND = (("cmrc2018_zh", "", 400, 434, "xquad_en_zh"), ("xquad_en_zh", "xquad-zh", 200, 0, "cmrc2018_zh"))
UNSEEN = ("cosine", "nearest", "agree", "margin", "names")  # what a blind encoder tells nothing about


def matrix(found: list[lab.Row]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(features with a leading 1, answerable 0/1, 1 for a foreign question, 2 for one whose gold is hidden)."""
    rows = [
        answerable.features(
            row.reading, row.passages, row.signals, covered=row.covered, asked=row.query["text"]
        )
        for row in found
    ]
    features = np.array([[1.0, *(row[name] for name in answerable.FEATURES)] for row in rows])
    good = np.array([row.query["answerable"] for row in found], float)
    kinds = [2 if row.query.get("hidden") else int(bool(row.query.get("foreign"))) for row in found]
    return features, good, np.array(kinds, float)


def fit(features: np.ndarray, good: np.ndarray, weight: np.ndarray, decay: float = 1.0) -> np.ndarray:
    """Logistic regression by Newton's method; weight: of each question."""
    found = np.zeros(features.shape[1])
    ridge = decay * np.eye(features.shape[1])
    ridge[0, 0] = 0.0
    for _ in range(30):
        chance = 1 / (1 + np.exp(-features @ found))
        slope = features.T @ (weight * (good - chance)) - ridge @ found
        curve = (features * (weight * chance * (1 - chance))[:, None]).T @ features + ridge
        found = found + np.linalg.solve(curve, slope)
    return found


def balanced(
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All parts as one, each part and each side of it weighing the same."""
    weight = [
        np.where(good > 0, 1 / max(good.sum(), 1), 1 / max((1 - good).sum(), 1)) * 200 for _, good, _ in parts
    ]
    return np.vstack([f for f, _, _ in parts]), np.hstack([g for _, g, _ in parts]), np.hstack(weight)


def figures(name: str, part: tuple[np.ndarray, np.ndarray, np.ndarray], weights: np.ndarray) -> str:
    """AUROC against the set's own negatives, hidden and foreign ones, and shares refused at the threshold."""
    from score import auroc

    features, good, foreign = part
    chance = 1 / (1 + np.exp(-features @ weights))
    yes = chance[good > 0]
    negatives = [chance[(good == 0) & (foreign == kind)] for kind in (0, 2, 1)]
    refused = [
        float(np.mean(each < answerable.REFUSE_BELOW)) if len(each) else float("nan")
        for each in (yes, *negatives)
    ]
    apart = [auroc(yes, each) if len(each) else float("nan") for each in negatives]
    return (
        f"{name:22}"
        + "".join(f"{each:9.3f}" for each in apart)
        + "   "
        + "".join(f"{each:9.3f}" for each in refused)
    )


def judge(
    title: str, sets: tuple[tuple[str, str, int, int, str], ...], in_force: dict[str, float], fitting: bool
) -> None:
    """One group of sets: the weights in force, then fitted on the other sets, then on all."""
    from score import auroc

    names = ("bias", *answerable.FEATURES)
    parts = {
        name: matrix(lab.rows(name, keep, yes=yes, no=no, hidden=HIDDEN, foreign=foreign))
        for name, keep, yes, no, foreign in sets
    }
    used = [at for at, name in enumerate(names) if in_force is answerable.WEIGHTS or name not in UNSEEN]

    def fitted(chosen: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
        features, good, weight = balanced(chosen)
        found = np.zeros(len(names))
        found[used] = fit(features[:, used], good, weight)
        return found

    heads = [f"{head:>9}" for head in ("own", "hidden", "foreign", "yes", "own", "hidden", "foreign")]
    head = (
        f"{'':22}{'AUROC against':>27}   {'refused':>36}\n{'':22}{''.join(heads[:3])}   {''.join(heads[3:])}"
    )
    print(f"\n{title}, weights in force\n{head}")
    for name, part in parts.items():
        print(figures(name, part, np.array([in_force[each] for each in names])))
    if not fitting:
        return
    print(f"{title}, fitted on the other sets")
    for name, part in parts.items():
        print(figures(name, part, fitted([other for each, other in parts.items() if each != name])))
    every = fitted(list(parts.values()))
    print(f"{title}, fitted on all")
    for name, part in parts.items():
        print(figures(name, part, every))
    print(", ".join(f'"{name}": {weight:.2f}' for name, weight in zip(names, every, strict=True)))
    print("each feature alone: AUROC against a set's own negatives")
    for at, name in enumerate(answerable.FEATURES, 1):
        shares = []
        for features, good, foreign in parts.values():
            no = features[(good == 0) & (foreign == 0), at]
            shares.append(f"{auroc(features[good > 0, at], no):.3f}" if len(no) else "  –  ")
        print(f"  {name:12}", *shares)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fit", action="store_true", help="find weights instead of using those in force")
    options = parser.parse_args()
    lab.need_sets()
    judge("scripts the encoder knows", SIGHTED, answerable.WEIGHTS, options.fit)
    judge("scripts it does not know", BLIND, answerable.WEIGHTS_BLIND, options.fit)


if __name__ == "__main__":
    main()
