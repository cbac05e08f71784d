"""What is used of Prefect and Ray beyond their documented API does what it is used for."""

import importlib.util

import pytest

from flows.running import prefect_private


def test_there_is_a_heartbeat_that_can_be_turned_off():
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY

    assert PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value() is not None
    with prefect_private.heartbeat_off():
        assert PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value() is None
    assert PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value() is not None


def test_other_processes_find_what_prefect_runs_by_its_name():
    import cloudpickle  # by which Prefect hands tasks to processes

    from flows.pretrain import train_weights

    plain = train_weights.__wrapped__
    assert plain is not train_weights
    assert cloudpickle.loads(cloudpickle.dumps(plain)) is plain  # a reference, and no copy


@pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="Ray is an extra")
def test_ray_takes_the_address_it_listens_at():
    import ray

    ray.init(num_cpus=1, include_dashboard=False, **prefect_private.RAY_ADDRESS)
    ray.shutdown()
