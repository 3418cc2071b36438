"""What all tests share: where the shared data lies, and the switch for slow tests."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# a busy machine is no defect: time limits per example would fail there and nowhere else
settings.register_profile("elmokit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("elmokit")


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", default=False, help="also run the tests marked slow")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden files, data sets and corpora, or a skip."""
    folder = Path(os.environ.get("ELMOKIT_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing: set ELMOKIT_SHARED to the folder of shared data")
    return folder


@pytest.fixture
def one_torch_thread():
    """PyTorch on one thread: on arrays this small more threads only wait for each other."""
    torch = pytest.importorskip("torch")
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(n_threads)
