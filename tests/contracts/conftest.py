"""What the tests of the commands share."""

import pytest

from elmokit.checkpoints import save
from elmokit.cli import main
from unit.tiny_models import tiny_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The path of a folder with a tiny model."""
    folder = tmp_path_factory.mktemp("model")
    save(tiny_checkpoint(), folder)
    return str(folder)


@pytest.fixture
def here(capsys):
    """Runs a command in this process, and gives what it wrote on standard output and error."""

    def run(*arguments, code=0):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        done = capsys.readouterr()
        assert ended.value.code == code, done.err
        return done

    return run
