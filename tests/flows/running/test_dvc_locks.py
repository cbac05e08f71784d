"""Tables of DVC that a kill left broken are mended; sound ones, and those at work, are left."""

import os
import time

import pytest

from flows.running.dvc_locks import WRITING, mend_lock, mend_rwlock

SOUND = {"rwlock": '{"read": {}, "write": {}}', "dvc.lock": "schema: '2.0'\n"}


@pytest.mark.parametrize(
    ("text", "age", "kept"),
    [
        (SOUND["rwlock"], 2 * WRITING, True),
        ("", 2 * WRITING, False),
        ('{"read": {', 2 * WRITING, False),
        ("", 0, True),
    ],
)
def test_a_broken_table_of_readers_and_writers_is_removed(tmp_path, text, age, kept):
    file = tmp_path / "rwlock"
    mend_rwlock(file)
    file.write_text(text)
    then = time.time() - age
    os.utime(file, (then, then))
    mend_rwlock(file)
    assert file.exists() == kept


@pytest.mark.parametrize("text", [SOUND["dvc.lock"], "", "schema: [", "stages: {}", "- 1"])
def test_a_broken_lock_is_put_aside(tmp_path, text):
    file = tmp_path / "dvc.lock"
    mend_lock(file)
    file.write_text(text)
    mend_lock(file)
    assert file.exists() == (text == SOUND["dvc.lock"])
    assert file.exists() or (tmp_path / "dvc.lock.damaged").read_text() == text
