"""One undisturbed run for the whole bench."""

import pytest

from faults.world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("faults"))
    yield made
    made.close()
