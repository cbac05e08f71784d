"""What can be chosen by name, as `python -m flows.plugins` lists it."""

import subprocess
import sys

import pytest

from engine.core.build import choices
from flows.tools import plugins


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_each_plugin_says_what_it_is_and_a_paper_and_has_a_test(kind):
    found = plugins.list_plugins(kind)
    assert [plugin.name for plugin in found] == choices(kind)
    for plugin in found:
        assert plugin.about.endswith((".", "?")) and plugin.tests, plugin
        # how a network is asked may be anyone's idea
        assert plugin.papers or kind == "policies", plugin
        assert all((plugins.ROOT / test).is_file() for test in plugin.tests)


def test_papers_are_told_from_what_is_said_of_them(tmp_path):
    file = tmp_path / "spaces" / "sparse.py"
    file.parent.mkdir()
    file.write_text(
        '"""Sparse: few\nof them.\n\nDoe & Roe 2020, "A: b", arXiv 2001.00001, section 2.\n'
        'As a\nproxy: Poe et al. 1999, "C"; drawn as Loe et al. 2021, "D", arXiv 2101.00002."""\n'
    )
    test = plugins.ROOT / "tests/models/test_spaces.py"
    found = plugins.read_plugin(file, [test])
    assert found.about == "Sparse: few of them."
    assert found.papers == [
        'Doe & Roe 2020, "A: b", arXiv 2001.00001',
        'Poe et al. 1999, "C"',
        'Loe et al. 2021, "D", arXiv 2101.00002',
    ]
    assert found.tests == ["tests/models/test_spaces.py"]  # which tries all spaces
    (tmp_path / "heads").mkdir()
    other = file.rename(tmp_path / "heads" / "sparse.py")
    assert plugins.read_plugin(other, [test]).tests == []


def test_the_list_of_one_kind_is_printed_without_torch():
    code = (
        "import sys; sys.argv[1:] = ['heads']; from flows.tools import plugins; plugins.main(); "
        "assert 'torch' not in sys.modules"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("heads (models/heads/)\n")
    assert "\n  knn: Weighted k nearest neighbours" in told.stdout
    assert "paper: Wu, Xiong, Yu, Lin 2018" in told.stdout
    assert "evidence: tests/models/test_heads.py" in told.stdout
    assert "models/spaces/" not in told.stdout
