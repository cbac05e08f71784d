"""The weights of corpus/hashtags/words.json: a log-linear model of splits, fitted on the gold
splits of the train part.

Softmax over the best 30 splits of each tag, the gold ones its positives, L2-regularised, by L-BFGS;
two rounds, the second over the splits that the first one's weights rank best.
"""

from collections import Counter

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from corpus.hashtags.words import LONGEST, case, chunks, cut_feature, frequencies, word_features

BEST, ROUNDS, L2 = 30, 2, 1.0
START = {
    "log10": 1.0,
    "unknown": -5.0,
    "unknown letter": -1.2,
    "letter": -6.0,
    "letter a": 3.0,
    "letter i": 3.0,
}
START |= {"digits": -3.0, "mixed": -5.0, "mixed letter": -1.0, "mixed log10": 1.0}
START |= {
    "cut mixed aA": 3.0,
    "cut mixed AAa": 2.0,
    "cut mixed aa": -3.0,
    "cut mixed Aa": -5.0,
    "cut mixed AA": -3.0,
}
Words = tuple[str, ...]


def features(typed: str, words: Words) -> Counter:
    """What corpus.hashtags.words.Splitter sums for one split of one chunk."""
    counts: Counter = Counter()
    kinds, end, manner = [], 0, case(typed)
    for word in words:
        if end:
            counts[cut_feature(typed, end, manner)] += 1
        kind, values = word_features(word, frequencies().get(word))
        for name, value in values:
            counts[name] += value
        kinds.append(kind)
        end += len(word)
    counts[f"first {kinds[0]}"] += 1
    counts[f"last {kinds[-1]}"] += 1
    return counts


def best_splits(typed: str, low: str, weights: dict[str, float]) -> list[Words]:
    """About the BEST splits of one chunk, by a beam."""
    manner, beams = case(typed), [[] for _ in range(len(low) + 1)]
    beams[0] = [(0.0, ())]
    for i in range(len(low)):
        cut = cut_feature(typed, i, manner) if i else ""
        if cut is None:
            continue
        for j in range(i + 1, min(i + LONGEST, len(low)) + 1):
            kind, values = word_features(low[i:j], frequencies().get(low[i:j]))
            score = weights.get(cut, 0.0) + sum(
                weights.get(name, 0.0) * value for name, value in values
            )
            score += weights.get(f"first {kind}", 0.0) * (i == 0) + weights.get(
                f"last {kind}", 0.0
            ) * (j == len(low))
            beams[j] += [(before + score, (*words, low[i:j])) for before, words in beams[i]]
            beams[j] = sorted(beams[j], reverse=True)[:BEST]
    return [words for _, words in beams[-1]]


def _examples(
    rows: list[tuple[str, set[Words]]], weights: dict[str, float]
) -> list[tuple[list[Counter], list[bool]]]:
    """Per tag of one chunk whose letters are those of a gold split: features of each candidate,
    whether it is gold.
    """
    examples = []
    for tag, golds in rows:
        runs = list(chunks(tag))
        if len(runs) != 1:
            continue
        golds = {gold for gold in golds if "".join(gold) == runs[0][1]}
        if not golds:
            continue
        candidates = dict.fromkeys([*best_splits(*runs[0], weights), *sorted(golds)])
        examples.append(
            (
                [features(runs[0][0], words) for words in candidates],
                [w in golds for w in candidates],
            )
        )
    return examples


def _maximised(examples: list[tuple[list[Counter], list[bool]]]) -> dict[str, float]:
    """The weights of the greatest regularised likelihood of the gold splits."""
    rows = [counts for candidates, _ in examples for counts in candidates]
    names = sorted({name for counts in rows for name in counts})
    column = {name: i for i, name in enumerate(names)}
    cells = [
        (r, column[name], value) for r, counts in enumerate(rows) for name, value in counts.items()
    ]
    r, c, values = zip(*cells, strict=True)
    matrix = csr_matrix((values, (r, c)), (len(rows), len(names)))
    sizes = [len(candidates) for candidates, _ in examples]
    start, tag = np.cumsum([0, *sizes[:-1]]), np.repeat(np.arange(len(sizes)), sizes)
    gold = np.concatenate([golds for _, golds in examples])

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        scores = matrix @ w
        mass = np.exp(scores - np.maximum.reduceat(scores, start)[tag])
        total, right = np.add.reduceat(mass, start), np.add.reduceat(mass * gold, start)
        slope = mass / total[tag] - mass * gold / right[tag]
        return np.log(total / right).sum() + L2 / 2 * (w @ w), matrix.T @ slope + L2 * w

    w = minimize(
        loss, np.zeros(len(names)), jac=True, method="L-BFGS-B", options={"maxiter": 400}
    ).x
    return {
        name: round(float(value), 3)
        for name, value in zip(names, w, strict=True)
        if abs(value) >= 5e-4
    }


def fit(rows: list[tuple[str, set[Words]]]) -> dict[str, float]:
    """Weights by feature name from (tag as typed, its gold splits)."""
    weights = START
    for _ in range(ROUNDS):
        weights = _maximised(_examples(rows, weights))
    return weights
