"""Labelled images turned into posts by a stated model of how people tag, for studies where the
truth is known.

A folder of images by class (classes.py). Each post is drawn from random numbers of its own (of the
seed and its path, class/image), so it depends on no order and on the other images through the
marginal M below only. A post of class c:

1. The user is number u of `users` with probability ~ 1 / (u + 10) (Zipf); each has three favourite
   off-topic tags. The time is uniform over two years.
2. Named are: c with probability 1 - missing; at each level above c, with probability hypernym, one
   of its parents, all equally likely. What is named is named once more with probability `again`,
   and again (geometric).
3. Each naming is a tag: the usual form with probability 1 - synonym, else one of the others, the
   k-th of them with probability ~ 1 / k (Zipf); the only form where there is one.
4. Each of these tags is replaced with probability `noise` by a draw from M, the marginal
   distribution of the tags of step 3 over all images of the folder (Mahajan et al. 2018, arXiv
   1805.00932, the experiment on label noise). A draw t is right by chance with probability M(t).
5. Off-topic tags: with probability `off_topic` one, and again (geometric), half of them the user's
   favourites, half common ones (Zipf); one for certain where nothing else is.
6. Repeated tags are dropped, the rest shuffled.

With L levels above, that is (1 - missing + L hypernym) / (1 - again) + off_topic / (1 - off_topic)
tags per post before those of certainty and of repetition: `again` and `off_topic` set the number of
tags per post.
"""

from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path

import numpy as np

from corpus.hashtags.normal import normalise
from corpus.records.kind import kind as kind_named
from corpus.sources import classes
from corpus.sources.rows import SourceRow, number_of
from corpus.sources.users import OFF_TOPIC, User, cumulated, stream, user_of, zipf

LABELLED = 10  # random stream
Forms = Sequence[str]  # the usual one first
_user = lru_cache(10_000)(user_of)


class Model:
    """The model above for the classes of one folder.

    ValueError for a rate that is none, or a class without a form.
    """

    def __init__(
        self,
        images: Mapping[str, int],
        forms: Mapping[str, Forms] | None = None,
        hypernyms: Mapping[str, Sequence[Sequence[Forms]]] | None = None,
        missing: float = 0.15,
        noise: float = 0.1,
        synonym: float = 0.4,
        hypernym: float = 0.4,
        again: float = 0.0,
        off_topic: float = 0.4,
        users: int = 400,
        seed: int = 0,
    ):
        """`images`: number per class. `forms`: class -> its hashtags (default: its name).

        `hypernyms`: class -> per level, per parent, the parent's hashtags.
        """
        rates = {"missing": missing, "noise": noise, "synonym": synonym, "hypernym": hypernym}
        rates |= {"again": again, "off_topic": off_topic}
        possible = all(0 <= rate <= 1 for rate in rates.values())
        if not possible or max(again, off_topic) == 1 or users < 1:
            cure = "give rates from 0 to 1, again and off_topic below 1, users >= 1"
            raise ValueError(f"{rates}, users {users}: {cure}")
        self.missing, self.noise, self.synonym, self.hypernym = missing, noise, synonym, hypernym
        self.again, self.off_topic, self.users, self.seed = again, off_topic, users, seed
        self.images = images
        forms, hypernyms = forms or {}, hypernyms or {}
        self.forms = {name: list(forms.get(name, ())) or _usual(name) for name in images}
        self.above = {name: list(filter(None, hypernyms.get(name, ()))) for name in images}

    def weights(self, forms: Forms) -> Iterator[tuple[str, float]]:
        """Each form with its probability in step 3."""
        others = forms[1:]
        yield forms[0], 1 - self.synonym if others else 1.0
        for rank, form in enumerate(others, 1):
            yield form, self.synonym / rank / cumulated(len(others), 0)[-1]

    @cached_property
    def marginal(self) -> dict[str, float]:
        """M: tag -> probability."""
        total: Counter[str] = Counter()
        for name, count in self.images.items():
            parts = [(self.forms[name], 1 - self.missing)]
            parts += [
                (parent, self.hypernym / len(level))
                for level in self.above[name]
                for parent in level
            ]
            for forms, rate in parts:
                for form, weight in self.weights(forms):
                    total[form] += count * rate * weight
        whole = sum(total.values())
        return {tag: weight / whole for tag, weight in total.items() if weight}

    @cached_property
    def _drawn(self) -> tuple[list[str], list[float]]:
        return list(self.marginal), list(accumulate(self.marginal.values()))

    def _form(self, rng: np.random.Generator, forms: Forms) -> str:
        others = forms[1:] if rng.random() < self.synonym else ()
        tag = zipf(rng, others) if others else forms[0]
        if rng.random() < self.noise:
            names, sums = self._drawn
            return names[min(bisect(sums, rng.random() * sums[-1]), len(names) - 1)]
        return tag

    def tags(self, rng: np.random.Generator, name: str, user: User) -> list[str]:
        """Steps 2 to 6 for a post of the class `name`; never none."""
        named = [] if rng.random() < self.missing else [self.forms[name]]
        for level in self.above[name]:
            if rng.random() < self.hypernym:
                named.append(level[int(rng.integers(len(level)))])
        tags = []
        for forms in named:
            tags.append(self._form(rng, forms))
            while rng.random() < self.again:
                tags.append(self._form(rng, forms))
        while rng.random() < self.off_topic or not tags:
            tags.append(zipf(rng, user.favourites if rng.random() < 0.5 else OFF_TOPIC))
        tags = list(dict.fromkeys(tags))
        return [tags[i] for i in rng.permutation(len(tags)).tolist()]

    def post(self, name: str, image: str) -> dict[str, object]:
        """hashtags, user and time of the image class/image."""
        rng = stream(self.seed, LABELLED, number_of(image))
        user = _user(self.seed, zipf(rng, range(self.users), 10))
        time = datetime(2023, 1, 1) + timedelta(seconds=int(rng.integers(2 * 365 * 86400)))
        return {"hashtags": self.tags(rng, name, user), "user": user.name, "time": time}


def _usual(name: str) -> list[str]:
    form = normalise(name)
    if form is None:
        raise ValueError(f"class {name!r} gives no hashtag; name its hashtags in `forms`")
    return [form]


def labelled_posts(
    root: Path,
    allowed: Path | None = None,
    left: Counter[str] | None = None,
    kind: str = "posts",
    **options,
) -> Iterator[SourceRow]:
    """Posts of the images below root/class, their id their path; `options` are those of Model.

    `allowed` and `left` are those of classes.class_images.
    """
    media = kind_named(kind).media
    images = classes.class_images(root, allowed, media=media)
    model = Model(Counter(image.label for image in images if not image.file.reason), **options)
    found = classes.class_images(root, allowed, left, media)
    return classes.class_rows(found, kind, model.post)
