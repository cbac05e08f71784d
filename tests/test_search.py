"""What a search keeps of its trials when it is killed."""

import pytest
from optuna.trial import TrialState

from flows.search import opened

PROPOSALS = [{"depth": depth} for depth in (7, 5, 9)]


@pytest.mark.parametrize("told", [False, True], ids=["killed in a trial", "killed while that was told"])
def test_a_trial_cut_short_runs_again_under_its_number(tmp_path, told):
    study = opened(tmp_path / "journal", PROPOSALS)
    study.tell(study.ask(), 1.0)
    cut = study.ask()
    if told:
        study.tell(cut, state=TrialState.FAIL)
    again = opened(tmp_path / "journal", PROPOSALS)
    while again.get_trials(states=(TrialState.WAITING,)):
        trial = again.ask()
        trial.suggest_int("depth", 1, 12)
        again.tell(trial, 2.0)
    ended = again.get_trials(states=(TrialState.COMPLETE,))
    assert {t.user_attrs["number"]: t.params for t in ended if t.params} == {1: PROPOSALS[1], 2: PROPOSALS[2]}
    assert sorted(t.user_attrs["number"] for t in ended) == [0, 1, 2]
