"""The one error that users meet: what is wrong, where, and how to mend it."""

from __future__ import annotations

import errno
from collections.abc import Sequence

LONGEST = 500
"""Characters of each part of a message; names and numbers in it may be anybody's."""
LONGEST_HINT = 2000
"""Characters of a hint, which may hold commands with paths in them."""


class LawmError(Exception):
    """Something a user can mend. Commands print it in one line and exit with code 2.

    Args:
        what: what is wrong, a short clause without a full stop.
        where: the file, field, option or trajectory it is wrong in.
        hint: what to do about it.
    """

    def __init__(self, what: str, where: str = "", hint: str = "") -> None:
        self.what, self.where = _shown(what), _shown(str(where))
        self.hint = _shown(hint, LONGEST_HINT)
        text = f"{self.where}: {self.what}" if self.where else self.what
        super().__init__(f"{text}; {self.hint}" if hint else text)

    @property
    def lines(self) -> list[str]:
        """What commands print: one line for each thing to mend."""
        return [str(self)]


def _shown(text: str, longest: int = LONGEST) -> str:
    """A text that is one line of bounded length, and moves no cursor."""
    if len(text) > longest:
        text = f"{text[: longest // 2]}…{text[-longest // 2 + 1 :]}"
    if text.isprintable():
        return text
    words = " ".join(text.split())
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in words)


class CorpusError(LawmError):
    """A corpus on disk is not what it says it is."""


class MaskError(LawmError):
    """A mask cannot be made, or belongs to another corpus."""


class HiddenActionError(LawmError):
    """An action was asked for that is withheld or was never recorded."""


class ConfigError(LawmError):
    """A setting is unknown, out of range, or contradicts a run folder."""


class SeveralErrors(ConfigError):
    """Several settings are wrong, reported at once.

    Args:
        errors: at least two of them; ``what``, ``where`` and ``hint`` are those of the first.
    """

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        first = errors[0]
        super().__init__(f"{first.what} (and {len(errors) - 1} more)", first.where, first.hint)
        self.errors = tuple(errors)

    @property
    def lines(self) -> list[str]:
        """One line for each of them."""
        return [str(error) for error in self.errors]


REASON = 200
"""Most characters of a message of another library; some put bytes of a file into theirs."""


def reason_of(error: BaseException) -> str:
    """What an exception of another library says, in one line; its kind when it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip()[:REASON]


def several(errors: Sequence[ConfigError]) -> ConfigError:
    """One error that stands for all of these; equal ones count once."""
    different = list({str(error): error for error in errors}.values())
    return different[0] if len(different) == 1 else SeveralErrors(different)


class RemoteError(LawmError):
    """A server refused, cannot be reached, or holds something else than it should."""


class StorageError(LawmError):
    """The file system refused: no space, no permission, locked by another writer."""

    @classmethod
    def from_os_error(cls, error: OSError, where: str) -> StorageError:
        """Turn an ``OSError`` into one line that says what to do."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return cls("no space left on the device", where, "free some space and run it again")
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return cls("no permission to write", where, "choose another place or mend its rights")
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            return cls("a file is where a folder should be", where, "choose another place")
        return cls(error.strerror or str(error), where, "check the file system")
