"""What can go wrong, one leaf a cause, each with the exit code of the command that meets it.

The codes follow sysexits.h where it has one. A message names the thing and the cure; nothing is shown as a traceback
unless `--debug` was given.
"""


class MaskgateError(Exception):
    """Root of everything that this program raises on purpose."""

    exit_code = 70


class UsageError(MaskgateError):
    """The command line asks for something that cannot be."""

    exit_code = 2


class ConfigError(MaskgateError):
    """The configuration is wrong. Holds one line `key.path: what is wrong` for each mistake."""

    exit_code = 78

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class ModelError(MaskgateError):
    """A model file or its card is missing, damaged or not of the contract."""

    exit_code = 78


class UnavailableError(MaskgateError):
    """A service, a device or an optional package that is needed is not there."""

    exit_code = 69


class ImageError(MaskgateError):
    """A picture cannot be read. The text is what the record's `error` says."""

    exit_code = 1
