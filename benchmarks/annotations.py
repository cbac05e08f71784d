"""A COCO annotation file of any size streamed to rows: peak memory and rate, in a process of its
own.

`python -m benchmarks.annotations --megabytes 1000` writes such a file into a temporary folder
(7 objects an image, polygons of 40 points, one in fifty a crowd), reads it, and takes it away. No
image is read. The base is the process after its imports; times are those of its one core.
"""

import argparse
import random
import subprocess
import sys
import tempfile
from pathlib import Path

OBJECTS, POINTS, CROWDS, BYTES = 7, 40, 50, 730  # the last: of an annotation, about
READ = """
import resource, sys, time
from pathlib import Path
from corpus.records.kind import kind
from corpus.sources.source import source_rows
import corpus.sources.annotated, pycocotools.mask

kind("boxes")
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
base, started = peak(), time.process_time()
rows = source_rows(sys.argv[1], sys.argv[2], "boxes", Path(sys.argv[2]))
images = objects = refused = 0
first = None
for row in rows:
    first = first or time.process_time() - started
    images += not row.reason
    refused += bool(row.reason)
    objects += len(row.fields.get("objects", ()))
print(base, peak(), first, time.process_time() - started, images, objects, refused)
"""


def write_file(path: Path, megabytes: float) -> None:
    """A COCO file of about this size, its annotations before its images."""
    shapes, written, count = _shapes(random.Random(0)), 0, 0
    images = int(megabytes * 1e6 / BYTES / OBJECTS)
    with path.open("w") as file:
        file.write('{"info": {"description": "drawn"}, "annotations": [')
        while written < megabytes * 1e6:
            text = _annotation(shapes, count, count % images)
            written += file.write(("," if count else "") + text)
            count += 1
        file.write('], "images": [')
        for number in range(images):
            image = f'{{"id": {number}, "file_name": "{number:012d}.jpg", '
            file.write(("," if number else "") + image + '"width": 640, "height": 480}')
        file.write('], "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]}')


def _annotation(shapes: list[str], number: int, image: int) -> str:
    """An object of an image; neighbours in the file are of different images."""
    mask, crowd = shapes[number % len(shapes)], 0
    if number % CROWDS == 0:
        mask, crowd = '{"size": [480, 640], "counts": [0, 307200]}', 1
    about = f'"id": {number}, "image_id": {image}, "category_id": {1 + number % 2}'
    box = f'"bbox": [{number % 300}.25, {number % 200}.5, 99.5, 50.25]'
    return f'{{{about}, {box}, "area": 100.0, "iscrowd": {crowd}, "segmentation": {mask}}}'


def _shapes(rng: random.Random) -> list[str]:
    """A thousand polygons."""
    found = []
    for _ in range(1000):
        points = ", ".join(f"{rng.uniform(0, 470):.2f}" for _ in range(2 * POINTS))
        found.append(f"[[{points}]]")
    return found


def measure(megabytes: float) -> str:
    """One line of what was measured."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "instances.json"
        write_file(path, megabytes)
        size = path.stat().st_size / 1e6
        command = [sys.executable, "-c", READ, str(path), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    base, peak, first, took, images, objects, refused = map(float, done.stdout.split())
    counts = f"{images:,.0f} images, {objects:,.0f} objects, {refused:,.0f} refused"
    memory = f"peak {peak:,.0f} MB, {peak - base:,.0f} MB above the imports' {base:,.0f}"
    rates = f"index {size / first:,.0f} MB/s, to rows {size / took:,.0f} MB/s ({took:.0f} s)"
    return f"{size:,.0f} MB: {counts}; {memory}; {rates}"


def main() -> None:
    """Command line of the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--megabytes", type=float, default=100, metavar="N", help="of the file")
    print(measure(parser.parse_args().megabytes))


if __name__ == "__main__":
    main()
