"""Confusion matrix: which class is taken for which other, and how many samples are.

Interval: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
On files: python -m metrics.confusion predictions.parquet targets.parquet
"""

import torch
from torch import Tensor

from metrics.blocks.guesses import Guesses
from metrics.blocks.picture import Matrix
from metrics.blocks.proportions import wilson

__all__ = ["Confusion"]

DRAWN = 60  # classes, those that are confused most: more could not be read


class Confusion(Guesses):
    """Share of samples whose highest score is that of another class, in percent; less is better."""

    headline = "error"
    higher = False
    unit = "%"

    def compute(self) -> dict[str, float]:
        """{"error", "error_low", "error_high"}, and "worst_pair", the share of all samples that are
        of the pair confused most often, in percent; "pairs" that are confused, and "samples".
        """
        table, rows = self.table(), self.rows()
        samples = int(table.sum())
        wrong = samples - int(table.diagonal().sum())
        low, high = wilson(wrong, samples)
        numbers = {"error": 100 * wrong / samples, "error_low": 100 * low, "error_high": 100 * high}
        most = rows[0]["samples"] if rows else 0
        numbers |= {"worst_pair": 100 * most / samples, "pairs": len(rows)}
        return {**numbers, "samples": samples}

    def each(self) -> Tensor:
        """100 where another class has the highest score, else 0."""
        known, label, guess = self.joined()
        return (100 * (label != guess).double()).where(known, torch.nan)

    def rows(self) -> list[dict[str, float]]:
        """{"class", "predicted", "samples", "share"} of every pair that is confused, most often
        first; share is of the class's samples, in percent.
        """
        table = self.table()
        whole = table.sum(1)
        wrong = table.clone().fill_diagonal_(0)
        pairs = sorted(wrong.nonzero().tolist(), key=lambda pair: (-int(wrong[*pair]), pair))
        return [
            {
                "class": label,
                "predicted": guess,
                "samples": int(wrong[label, guess]),
                "share": 100 * int(wrong[label, guess]) / int(whole[label]),
            }
            for label, guess in pairs
        ]

    def picture(self) -> Matrix:
        """Shares of each class's samples, of the classes that are confused most."""
        table = self.table().double()
        wrong = table.clone().fill_diagonal_(0)
        kept = (wrong.sum(0) + wrong.sum(1)).argsort(descending=True, stable=True)[:DRAWN]
        kept = kept.sort().values
        shares = 100 * table / table.sum(1, keepdim=True).clamp(min=1)
        cells = shares[kept][:, kept].tolist()
        return Matrix(
            "Confusion, % of a class's samples", "predicted", "true", kept.tolist(), cells
        )


if __name__ == "__main__":
    from metrics.cli.command import main

    main(Confusion)
