"""A column whose rows lie in files, decoded when they are asked for: no set need fit in memory."""

import collections
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import overload

from torch import Tensor


class Decoded(Sequence[Tensor]):
    """Rows of files; those of a run over all of them are decoded ahead, in threads.

    threads: 1 decodes a row when it is asked for.
    """

    def __init__(
        self, files: Sequence[Path], decode: Callable[[Path], Tensor], threads: int = 1
    ) -> None:
        self.files, self.decode, self.threads = files, decode, threads

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, row: int) -> Tensor: ...
    @overload
    def __getitem__(self, row: slice) -> "Decoded": ...
    def __getitem__(self, row):
        if isinstance(row, slice):
            return Decoded(self.files[row], self.decode, self.threads)
        return self.decode(self.files[row])

    def __iter__(self) -> Iterator[Tensor]:
        if self.threads == 1:
            yield from map(self.decode, self.files)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            ahead = collections.deque()
            for file in self.files:
                ahead.append(pool.submit(self.decode, file))
                if len(ahead) > self.threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()


def called(column: object, row: int) -> str:
    """What a message calls a row of a column: its file, where it has one."""
    return str(column.files[row]) if isinstance(column, Decoded) else f"sample {row}"
