"""Two workers of a training, as a fixture of a module: they start once, and several tests look."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.training.launching import launch


def two(work: Callable[[Path], None]) -> Any:
    """A fixture: the folder in which two workers have left what `work(folder)` makes."""

    @pytest.fixture(scope="module")
    def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("pair")
        launch(2, work, folder)
        return folder

    return pair
