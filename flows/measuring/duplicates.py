"""Which test images the posts hold too, and which posts: out/evaluate/<task>/duplicates.parquet.

Found by the stage corpus, by bytes and fingerprints, and here by a pretrained network's features
(Mahajan et al. 2018, arXiv 1805.00932). Posts that were dropped for it are none: nobody saw them.
"""

import itertools
import shutil
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.compute import field

from engine.core.digest import digest
from flows.data import intact
from flows.running import settings
from flows.running.code import ROOT, code_files
from flows.running.orchestrate import progress, task
from flows.running.pool import current_pool, map_in_pool

HASHTAGS = settings.OUT / "corpus" / "hashtags"
FILE = "duplicates.parquet"
FOUND = {"exact": "equal bytes", "near": "fingerprint", "mirrored": "mirrored fingerprint"}
LEARNT = "learnt"
SCHEMA = pa.schema(dict.fromkeys(("id", "post", "found"), pa.string()))
Pair = tuple[str, str, str]  # id of the test image, id of the post, how it was found


def by_pixels(file: Path, data: str) -> list[Pair]:
    """Images of a labelled set that the posts hold too, as the stage corpus found them.

    data: `targets/<set>`. Raises ValueError when the file is no such table.
    """
    mine = field("store_a") == "hashtags"
    mine &= field("store_b") == data
    mine &= ~field("dropped")
    try:
        table = pq.read_table(file, columns=["id_b", "id_a", "kind"], filters=mine)
    except (pa.ArrowException, OSError) as error:
        fix = "run the stage corpus again"
        raise ValueError(f"{file} is no table of duplicates ({error}): {fix}") from error
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return [(image, post, FOUND.get(kind, kind)) for image, post, kind in rows]


def known_features(weights: Path) -> list[Path]:
    """Files with the posts' features by a pretrained network, in the order of the posts.

    Made where there are none. They stay until a network, the posts or the code is another:
    computing them takes longer than testing a network.
    """
    from flows.measuring import records

    code_of_stage = [*code_files("evaluate", {}), ROOT / "models"]
    kept = settings.STATE / "features" / digest(weights, HASHTAGS / "index.parquet", *code_of_stage)
    if not kept.exists():
        intact.checked_shards(HASHTAGS)
        pool, part = current_pool(), kept.with_suffix(".part")
        # those of another network, other posts or other code, and what a kill left
        shutil.rmtree(kept.parent, ignore_errors=True)
        parts = records.parts(HASHTAGS, pool.processes if pool else 1)
        files = [part / f"{number:03d}.safetensors" for number in range(len(parts))]
        same = itertools.repeat(weights), itertools.repeat(HASHTAGS)
        # not strict: the first two of them have no end
        map_in_pool(records.search_features, list(zip(*same, parts, files, strict=False)))
        part.rename(kept)
    return sorted(kept.glob("*.safetensors"))


@task
def learnt(weights: Path, folder: Path) -> list[Pair]:
    """Test images that the posts trained on show too, as a pretrained network's neighbours tell."""
    from flows.measuring import records

    known, count = known_features(weights), len(records.images(folder).ids)
    starts = range(0, count, records.BATCH)  # whole batches, however many processes there are
    some = [(weights, HASHTAGS, known, folder, first, first + records.BATCH) for first in starts]
    with progress("duplicates") as show:
        text = "by the pretrained network"
        found = map_in_pool(records.learnt, some, lambda done: show(done, len(some), text))
    return [(image, post, LEARNT) for image, post in itertools.chain.from_iterable(found)]


def of(data: str, weights: Path | None, folder: Path, ids: Iterable[str]) -> list[Pair]:
    """Every pair of a test image and a post that shows it; of one found twice, the first way.

    weights: of a pretrained network; None: of none, so that only pixels tell.
    """
    test = set(ids)
    pairs = by_pixels(settings.OUT / "corpus" / FILE, data)
    if weights is not None:
        pairs += learnt(weights, folder)
    # reversed, so that of two ways the first one stays
    first = {(image, post): how for image, post, how in reversed(pairs) if image in test}
    return sorted((*pair, how) for pair, how in first.items())


def write(out: Path, pairs: Iterable[Pair]) -> None:
    """Write the pairs of a task as a table, empty where there are none."""
    columns: dict[str, list[str]] = {name: [] for name in SCHEMA.names}
    for pair in pairs:
        for name, value in zip(SCHEMA.names, pair, strict=True):
            columns[name].append(value)
    pq.write_table(pa.table(columns, schema=SCHEMA), out / FILE)
