"""Average precision of boxes, masks or keypoints as COCO has it.

Lin et al. 2014, "Microsoft COCO: Common Objects in Context"; the rule is cocodataset/cocoapi's
cocoeval.py, to the letter: overlaps of 0.5, 0.55, ..., 0.95, precision at 101 recalls, crowds, area
ranges, 100 detections per image and class, of keypoints 20.

On files: python -m metrics.coco_ap results.json instances.json
"""

from typing import Literal

from metrics.blocks.detection.average import RESAMPLES, AveragePrecision, percent
from metrics.blocks.detection.evaluation import AREAS, Found, Rule
from metrics.blocks.detection.shapes import SHAPES
from metrics.blocks.ranges import Resamples

__all__ = ["CocoAP"]

# objects of less than 32 x 32 px have no keypoints
PEOPLE = Rule(caps=(20,), areas={name: AREAS[name] for name in ("all", "medium", "large")})


class CocoAP(AveragePrecision):
    """Mean over classes and overlaps of the average precision, in percent.

    of: What is compared.
    resamples: Of the bootstrap over images that gives the interval; 0: no interval.
    """

    def __init__(
        self,
        of: Literal["boxes", "masks", "keypoints"] = "boxes",
        resamples: Resamples = RESAMPLES,
    ) -> None:
        rule = PEOPLE if of == "keypoints" else Rule()
        super().__init__(SHAPES[of](), rule, resamples)

    def recalls(self, found: Found) -> dict[str, float]:
        """As `AveragePrecision.recalls`; of keypoints those at overlaps of 0.5 and 0.75 too."""
        numbers = super().recalls(found)
        if self.rule is PEOPLE:
            for place in (0, 5):
                wanted = round(100 * self.rule.thresholds[place])
                numbers[f"ar20_at{wanted}"] = percent(found.recall[:, 0, 0, place])
        return numbers


if __name__ == "__main__":
    from metrics.cli.command import main

    main(CocoAP)
