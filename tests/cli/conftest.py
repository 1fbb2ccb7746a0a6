"""The command line as tests call it."""

import pytest

from avshot.cli.app import main


@pytest.fixture
def avshot(capsys):
    """Call the command line in this process: (exit code, standard output, standard error)."""

    def call(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return left.value.code or 0, told.out, told.err

    return call
