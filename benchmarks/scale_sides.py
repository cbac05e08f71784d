"""The metadata job written four times: the same posts in, the same vocabulary and index out.

Called by scale.py.

All sides normalise each distinct typed tag once with the same function, map forms to names with the
same table, and solve for t with `class_factors` from the posts per rarest class, so that what is
compared is the data's way.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.scale_posts import Law
from corpus.hashtags.normal import normalise
from corpus.reading.resampling import class_factors

MIN_POSTS, MAX_SIZE, RULE, LENGTH = 20, 8500, "sqrt", 2  # LENGTH: of the training list, in posts


def tagdag(law: Law, source: Path, out: Path, names_of: Callable | None = None) -> None:
    """Ours; `names_of` gives the names of a table's forms, in place of the mapping that all
    sides share.
    """
    from benchmarks.scale_index import images_of_rarest, tag_batches, write_index
    from corpus.tags.counts import count_names
    from corpus.tags.names import Names
    from corpus.tags.table import TagTable
    from corpus.tags.vocabulary import choose_classes

    def ids():
        with pq.ParquetFile(source) as file:
            yield from (batch["id"] for batch in file.iter_batches(1 << 17, columns=["id"]))

    table = TagTable.build(tag_batches(source), out / "table")
    names = Names.of(names_of(table) if names_of else map(law.names, table.forms.to_pylist()))
    vocabulary = choose_classes(
        names.names, count_names(table, names), "frequent", MIN_POSTS, MAX_SIZE
    )
    classes, counts = names.only(vocabulary.ids), np.array(vocabulary.counts)
    images = images_of_rarest(classes.per_post(table), counts)
    factors = class_factors(counts, images, RULE, LENGTH * images.sum())
    write_index(out / "index.parquet", ids(), classes.per_post(table), counts, factors)
    _vocabulary(out, vocabulary.names, vocabulary.counts)


def rules(law: Law, source: Path, out: Path) -> None:
    """Ours as in the product, with all rules of corpus.hashtags.canonical: synonyms, words,
    misspellings.
    """
    from corpus.hashtags.canonical import Canon

    canon = Canon(min_posts=MIN_POSTS)
    tagdag(
        law,
        source,
        out,
        lambda table: canon.names(table.forms.to_pylist(), table.counts, table.cased),
    )


def _vocabulary(out: Path, names: list[str], counts: list[int]) -> None:
    pq.write_table(pa.table({"name": names, "posts": counts}), out / "vocabulary.parquet")


def _mapping(law: Law, typed: list[str]) -> pa.Table:
    """Rows (tag, name) for the distinct typed tags."""
    forms = map(normalise, typed)
    names = [law.names(form) if form else () for form in forms]
    sizes = np.fromiter(map(len, names), np.int64, len(names))
    tags = pa.array(typed).take(pa.array(np.repeat(np.arange(len(typed)), sizes)))
    return pa.table(
        {"tag": tags, "name": pa.array([name for some in names for name in some], pa.string())}
    )


def pandas(law: Law, source: Path, out: Path) -> None:
    """Strings become integers as early as possible (factorize), lists are made from sorted
    arrays: no Python loop.
    """
    import pandas as pd

    posts = pd.read_parquet(source, columns=["id", "hashtags"])
    tags = posts.pop("hashtags").explode().dropna()
    code, typed = pd.factorize(tags)
    mapping = _mapping(law, list(typed)).to_pandas()
    name, names = pd.factorize(mapping["name"])
    mapping = pd.DataFrame(
        {"tag": pd.Index(typed).get_indexer(mapping["tag"]), "name": name.astype(np.int32)}
    )
    pairs = pd.DataFrame({"row": tags.index.to_numpy(), "tag": code})
    del tags, code
    pairs = pairs.merge(mapping, on="tag")[["row", "name"]].drop_duplicates()
    counts = pairs["name"].value_counts()
    ids = counts.index.to_numpy()
    counts = pd.DataFrame({"name": np.asarray(names)[ids], "posts": counts.to_numpy(), "id": ids})
    counts = counts[counts["posts"] >= MIN_POSTS].sort_values(
        ["posts", "name"], ascending=[False, True]
    )[:MAX_SIZE]
    number = np.full(len(names), -1, np.int32)
    number[counts["id"]] = np.arange(len(counts))
    pairs["class"] = number[pairs["name"]]
    pairs = pairs[pairs["class"] >= 0].sort_values(["row", "class"])
    rarest = pairs.groupby("row")["class"].agg(["max", "size"])
    images = np.bincount(rarest["max"], minlength=len(counts))
    factors = class_factors(counts["posts"], images, RULE, LENGTH * images.sum())
    ends = np.concatenate([[0], np.cumsum(rarest["size"])]).astype(np.int32)
    index = {"id": posts["id"].loc[rarest.index], "row": rarest.index}
    index["targets"] = pa.ListArray.from_arrays(pa.array(ends), pa.array(pairs["class"].to_numpy()))
    pq.write_table(
        pa.table(index | {"repeats": factors[rarest["max"]]}),
        out / "index.parquet",
        compression="zstd",
    )
    _vocabulary(out, list(counts["name"]), list(counts["posts"]))


def polars(law: Law, source: Path, out: Path) -> None:
    """Lazy queries on the streaming engine."""
    import polars as pl

    posts = pl.scan_parquet(source).with_row_index("row")
    tags = posts.select("row", tag="hashtags").explode("tag").drop_nulls()
    typed = tags.select(pl.col("tag").unique()).collect(engine="streaming")["tag"].to_list()
    mapping = pl.from_arrow(_mapping(law, typed))
    names = mapping.select(pl.col("name").unique(maintain_order=True)).with_row_index("number")
    mapping = mapping.join(names, on="name").select("tag", "number")
    pairs = (
        tags.join(mapping.lazy(), on="tag")
        .select("row", "number")
        .unique()
        .collect(engine="streaming")
    )
    counts = pairs.group_by("number").agg(posts=pl.len()).join(names, on="number")
    counts = counts.filter(pl.col("posts") >= MIN_POSTS).sort(
        ["posts", "name"], descending=[True, False]
    )
    counts = counts.head(MAX_SIZE).with_row_index("class")
    kept = pairs.lazy().join(
        counts.lazy().select("number", pl.col("class").cast(pl.Int32)), on="number"
    )
    lists = kept.group_by("row").agg(targets=pl.col("class").sort(), rarest=pl.col("class").max())
    lists = lists.collect(engine="streaming")
    images = np.bincount(lists["rarest"], minlength=len(counts))
    factors = class_factors(counts["posts"], images, RULE, LENGTH * images.sum())
    factors = pl.DataFrame({"rarest": np.arange(len(counts), dtype=np.int32), "repeats": factors})
    index = posts.select("row", "id").join(lists.lazy(), on="row").join(factors.lazy(), on="rarest")
    index.select("id", "row", "targets", "repeats").sink_parquet(
        out / "index.parquet", compression="zstd"
    )
    _vocabulary(out, counts["name"].to_list(), counts["posts"].to_list())


DUCKDB_LISTS = """create table lists as
    select row, list_sort(list(class::integer)) as targets, max(class) as rarest
    from pairs join classes using (number) group by row"""


def duckdb(law: Law, source: Path, out: Path) -> None:
    """SQL over a database file in the output folder, so that it may spill."""
    import duckdb as db

    base = db.connect(str(out / "posts.duckdb"))
    run = base.execute
    run("set preserve_insertion_order = false; set threads = 2")
    posts = f"read_parquet('{source}', file_row_number = true)"
    run(f"create table tags as select file_row_number as row, unnest(hashtags) as tag from {posts}")
    typed = run("select distinct tag from tags where tag is not null").fetchnumpy()["tag"].tolist()
    base.register("tag_names", _mapping(law, typed))
    run(
        "create table names as select row_number() over () as number, name "
        "from (select distinct name from tag_names)"
    )
    run("create table mapping as select tag, number from tag_names join names using (name)")
    run("create table pairs as select distinct row, number from tags join mapping using (tag)")
    run(
        f"""create table classes as select number, name, posts,
        row_number() over (order by posts desc, name) - 1 as class
        from (select number, count(*) as posts from pairs group by number
            having count(*) >= {MIN_POSTS})
        join names using (number) order by class limit {MAX_SIZE}"""
    )
    run(DUCKDB_LISTS)
    vocabulary = run("select name, posts from classes order by class").fetchnumpy()
    images = run(
        "select count(lists.row) as n from classes left join lists on rarest = class "
        "group by class order by class"
    )
    images = images.fetchnumpy()["n"]
    factors = class_factors(vocabulary["posts"], images, RULE, LENGTH * images.sum())
    base.register("factors", pa.table({"rarest": np.arange(len(factors)), "repeats": factors}))
    run(
        f"""copy (select id, row, targets, repeats from lists join factors using (rarest)
        join {posts} as posts on posts.file_row_number = lists.row)
        to '{out / "index.parquet"}' (compression zstd)"""
    )
    _vocabulary(out, vocabulary["name"].tolist(), vocabulary["posts"].tolist())


def main(side: str, packs: Path, source: Path, out: Path) -> None:
    """One side; prints its seconds and CPU seconds (imports not counted) and its peak memory in
    bytes as JSON.
    """
    law = Law(packs)
    if side in ("pandas", "polars", "duckdb"):
        __import__(side)
    start, cpu = time.perf_counter(), time.process_time()
    SIDES[side](law, source, out)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = next(
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    # getrusage's maximum would start from what the process weighed before exec: the parent's memory
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": int(peak.split()[1]) << 10}))


SIDES = {"tagdag": tagdag, "pandas": pandas, "polars": polars, "duckdb": duckdb, "rules": rules}

if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:5]))
