"""What a user can mend. Each message says what is wrong, the value seen, and what to do."""

from __future__ import annotations


class MinedetectError(Exception):
    """Base of everything a user can mend; the command line ends with code 2 on it."""


class BadInput(MinedetectError):
    """A file is missing, damaged, of the wrong kind or unusable.

    Args:
        code: a short stable word such as ``NOT_TIFF``, for tests and logs.
        message: the sentence shown to the user.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class GridMismatch(MinedetectError):
    """Two things that must lie on one grid do not."""


class BandMismatch(MinedetectError):
    """An image does not satisfy the bands a model or a command needs."""


class SplitError(MinedetectError):
    """Training, validation and test cannot be kept apart on these scenes."""


class SettingError(MinedetectError):
    """A setting is unknown or outside its limits."""


class DeviceError(MinedetectError):
    """The device asked for is not there, or has too little memory."""


class ModelError(MinedetectError):
    """A model file is missing, damaged or not one of ours."""


class RunError(MinedetectError):
    """A run folder is missing, incomplete, or in use by another process."""


class Cancelled(Exception):
    """The user asked to stop. Not a fault; what was finished is kept."""
