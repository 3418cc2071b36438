"""What the unit tests share."""

import pytest

from elmokit.checkpoints import save
from unit.tiny_models import tiny_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The path of a folder with a tiny model."""
    folder = tmp_path_factory.mktemp("model")
    save(tiny_checkpoint(), folder)
    return str(folder)
