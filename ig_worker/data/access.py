"""Who may read and write what: files that follow the umask, in words why one cannot be read, and the cache's folder."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from ig_worker.errors import UsageError

_FILE, _FOLDER = 0o666, 0o777  # modes before the umask takes some bits away


def user_name() -> str:
    """The user of this process by name, or by number where the system knows no name."""
    return _name(os.geteuid())


def whose(path: str | os.PathLike[str]) -> str:
    """The mode, the owner and this user, as ``mode 0600 of root, and this is nobody``.

    They are those of the file, or of the nearest folder above it that this user may look at.
    """
    asked = found = Path(path)
    while True:
        try:
            state = found.stat()
        except OSError:
            if found == found.parent:
                return f"and this is {user_name()}"
            found = found.parent
        else:
            which = "" if found == asked else f"{found} has "
            return f"{which}mode {stat.S_IMODE(state.st_mode):04o} of {_name(state.st_uid)}, and this is {user_name()}"


def reason_of(error: OSError, path: str | os.PathLike[str] | None = None) -> str:
    """What the system said; where permission is missing, also whose the file is.

    Args:
        error: of the system.
        path: the file, where the error itself does not name it.
    """
    reason = error.strerror or " ".join(str(error).split())
    named = error.filename if isinstance(error.filename, str) else path
    return f"{reason}; {whose(named)}" if isinstance(error, PermissionError) and named else reason


def cache_folder() -> Path:
    """Where this machine keeps what it has fetched or measured: ``$XDG_CACHE_HOME/ig_worker``, or in HOME.

    Raises:
        UsageError: there is no HOME.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ig_worker"
    except RuntimeError as error:
        raise UsageError(
            f"HOME is not set, and {user_name()} has no other home",
            expected="a folder to keep what is fetched in ~/.cache/ig_worker",
            remedy="set HOME, or XDG_CACHE_HOME",
        ) from error


def follow_umask(path: Path) -> None:
    """Give a file, or a folder with all that is in it, the modes that the umask asks for.

    Some libraries write files that only their owner may read, whatever the umask.
    """
    mask = _umask()
    for found in [path, *path.rglob("*")] if path.is_dir() else [path]:
        if not found.is_symlink():
            kept = stat.S_IMODE(found.stat().st_mode) & (stat.S_ISGID | stat.S_ISVTX) if found.is_dir() else 0
            found.chmod((_FOLDER if found.is_dir() else _FILE) & ~mask | kept)


def _umask() -> int:
    """The umask of this process. Linux tells it in /proc; elsewhere it can only be learnt by setting it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    found = os.umask(0o022)
    os.umask(found)
    return found


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
