"""What a local Ray needs of this machine and of the environment, known before anything is started.

Ray writes its session (sockets, logs) to the folder ``ray`` in RAY_TMPDIR, TMPDIR or ``/tmp``, and once a token to
``.ray`` in HOME; TensorFlow writes the functions that it traces to Python's temporary folder. What lacks would stop
Ray in its midst, where a second try does not help. `find_surroundings` looks, `check` decides.
"""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ig_worker.data.access import user_name
from ig_worker.errors import UsageError

SOCKET_BYTES = 107  # of the path of a socket (unix(7)), the terminating zero not counted
# Ray 2.60 puts its sockets there; the process id has up to seven digits.
_SOCKET = "ray/session_2026-11-24_02-00-00_000000_4194304/sockets/plasma_store"
LEAST_FREE_BYTES = 32 << 20  # a session takes 1 MB; the rest is for its logs
LEAST_DESCRIPTORS = 256  # open files of a process; a Ray worker has about a hundred
LEAST_PROCESSES = 300  # and threads: Ray's own on two cores are 180, an actor's 60
_TOKEN_BYTES = 4096
_NO_LIMIT = 1 << 40
_CONTAINER = ("/sys/fs/cgroup", "/sys/fs/cgroup/pids")  # of the second and the first kind of control groups
_CPU_FILES = (
    ("/sys/fs/cgroup/cpu.max",),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)
_TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")  # one that is there already


@dataclass(frozen=True)
class Folder:
    """A folder that is to be written to, and may not be there yet."""

    path: str
    fault: str = ""  # why nothing can be written there; empty where it can
    free: int = _NO_LIMIT  # bytes


@dataclass(frozen=True)
class Surroundings:
    """Facts about the machine and the environment."""

    ray_variable: str  # that names the folder of Ray's temporary files; empty: none does
    ray_value: str
    ray: Folder
    home: str | None  # the value of HOME; None: it is not set
    token: Folder | None  # where Ray keeps its token; None: it needs no new one
    temporary: str | None  # Python's temporary folder; None: nowhere is there a place for one
    folder: str  # why the current folder cannot be worked in; empty where it can
    descriptors: int  # open files that a process may have at most
    processes: int  # and threads, that this user may still start


def check_surroundings(environment: Mapping[str, str] = os.environ) -> None:
    """Raise UsageError where a local Ray cannot start, or work, on this machine as it is."""
    fault = fault_of(find_surroundings(environment))
    if fault is not None:
        raise fault


def check_folder() -> None:
    """Raise UsageError where the current folder is gone, which no library bears that asks for it."""
    fault = _folder_fault(_folder())
    if fault is not None:
        raise fault


def fault_of(found: Surroundings) -> UsageError | None:
    """What is wrong, naming the variable, its value, what was expected and what to do; None where nothing is."""
    faults = (
        _ray_fault(found),
        _home_fault(found),
        _temporary_fault(found),
        _folder_fault(found.folder),
        _limits_fault(found),
    )
    return next((fault for fault in faults if fault is not None), None)


def _ray_fault(found: Surroundings) -> UsageError | None:
    name, value, longest = found.ray_variable, found.ray_value, SOCKET_BYTES - len(_SOCKET) - 1
    what = f"{name} is {value!r}" if name else f"Ray writes to {found.ray.path}, as RAY_TMPDIR and TMPDIR are not set"
    remedy = "set RAY_TMPDIR to a short folder of this user's, such as /var/tmp/me"
    if not value.startswith("/") or not value.isascii():
        return UsageError(what, expected="an absolute path of ASCII characters, for Ray's files", remedy=remedy)
    if len(value.rstrip("/")) > longest:
        return UsageError(
            f"{what}, {len(value.rstrip('/'))} characters",
            expected=f"at most {longest}: the paths of the sockets that Ray makes there may have {SOCKET_BYTES}",
            remedy=remedy,
        )
    if found.ray.fault:
        expected = "a folder that this user can write, for Ray's files"
        return UsageError(f"{what}, and {found.ray.fault}", expected=expected, remedy=remedy)
    if found.ray.free < LEAST_FREE_BYTES:
        return UsageError(
            f"{what}, where {found.ray.free / (1 << 20):.1f} MiB are free",
            expected=f"at least {LEAST_FREE_BYTES >> 20} MiB, for Ray's files",
            remedy=f"make room there, or {remedy}",
        )
    return None


def _home_fault(found: Surroundings) -> UsageError | None:
    if found.token is None or not (found.token.fault or found.token.free < _TOKEN_BYTES):
        return None
    what = "HOME is not set" if found.home is None else f"HOME is {found.home!r}"
    return UsageError(
        f"{what}, and {found.token.fault or 'no room is left there'}",
        expected=f"a folder that this user can write: Ray keeps its token in {found.token.path or '~/.ray'}",
        remedy="set HOME to a folder of this user's",
    )


def _temporary_fault(found: Surroundings) -> UsageError | None:
    if found.temporary is not None:
        return None
    return UsageError(
        "nothing can be written to TMPDIR, /tmp, /var/tmp or the current folder",
        expected="a folder for temporary files that this user can write, with room on it",
        remedy="set TMPDIR to one",
    )


def _folder_fault(reason: str) -> UsageError | None:
    if not reason:
        return None
    return UsageError(
        f"the current folder cannot be used ({reason})",
        expected="one that is there: Ray's processes start in it",
        remedy="change to another folder (cd) and run the same command there",
    )


def _limits_fault(found: Surroundings) -> UsageError | None:
    if found.descriptors < LEAST_DESCRIPTORS:
        return UsageError(
            f"a process may have {found.descriptors} files open here",
            expected=f"at least {LEAST_DESCRIPTORS}, for Ray",
            remedy="raise it: ulimit -Hn, limits.conf, or --ulimit nofile of a container",
        )
    if found.processes < LEAST_PROCESSES:
        return UsageError(
            f"{user_name()} may start {max(0, found.processes)} more processes and threads here",
            expected=f"at least {LEAST_PROCESSES}, for Ray",
            remedy="raise it: ulimit -u, limits.conf, or --pids-limit of a container",
        )
    return None


def session_folder(environment: Mapping[str, str] = os.environ) -> str:
    """Where a local Ray puts the files of its sessions."""
    return str(Path(environment.get(_variable(environment), "/tmp"), "ray"))


def _variable(environment: Mapping[str, str]) -> str:
    return next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in environment), "")


def usable_cpus() -> int:
    """CPUs that this process may use: by its affinity, and by its container's share."""
    shares = [quota / period for quota, period in map(_cpu_quota, _CPU_FILES) if quota > 0 and period > 0]
    return max(1, int(min([len(os.sched_getaffinity(0)), *shares])))


def _cpu_quota(files: tuple[str, ...]) -> tuple[float, float]:
    """(quota, period) of a control group, in microseconds; zeros where it has none."""
    try:
        quota, period = " ".join(Path(file).read_text() for file in files).split()
        return float(quota), float(period)
    except (OSError, ValueError):  # no such files, or max
        return 0.0, 0.0


def find_surroundings(environment: Mapping[str, str] = os.environ) -> Surroundings:
    """Look at this machine."""
    variable = _variable(environment)
    return Surroundings(
        ray_variable=variable,
        ray_value=environment.get(variable, "/tmp"),
        ray=look(Path(session_folder(environment))),
        home=environment.get("HOME"),
        token=_token_folder(environment),
        temporary=_temporary(),
        folder=_folder(),
        descriptors=_hard(resource.RLIMIT_NOFILE),
        processes=min(_left_to_user(), _left_to_container()),
    )


def look(path: Path) -> Folder:
    """What can be known of a folder without writing to it."""
    there = path
    try:
        while not there.exists() and there != there.parent:
            there = there.parent
        if not there.is_dir():
            return Folder(str(path), f"{there} is no folder")
        state = os.statvfs(there)
    except OSError as error:
        return Folder(str(path), f"{error.filename or there} cannot be reached ({error.strerror})")
    if state.f_flag & os.ST_RDONLY:
        return Folder(str(path), f"{there} is on a read-only file system")
    if not os.access(there, os.W_OK | os.X_OK):
        return Folder(str(path), f"{there} cannot be written by {user_name()}")
    return Folder(str(path), "", state.f_bavail * state.f_frsize if state.f_favail or not state.f_files else 0)


def _token_folder(environment: Mapping[str, str]) -> Folder | None:
    if environment.get("RAY_AUTH_MODE", "token").lower() != "token" or any(environment.get(name) for name in _TOKENS):
        return None
    try:
        file = Path.home() / ".ray" / "auth_token"
        if file.is_file() and file.stat().st_size:
            return None if os.access(file, os.R_OK) else Folder(str(file), f"{user_name()} cannot read {file}")
    except RuntimeError:  # no HOME, and a user whom the system does not know
        return Folder("", f"{user_name()} has no other home")
    except OSError as error:
        return Folder(str(file), f"{file} cannot be reached ({error.strerror})")
    return look(file.parent)


def _temporary() -> str | None:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return None


def _folder() -> str:
    try:
        os.stat(os.getcwd())
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _hard(limit: int) -> int:
    most = resource.getrlimit(limit)[1]
    return _NO_LIMIT if most == resource.RLIM_INFINITY else most


def _left_to_user() -> int:
    most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if most == resource.RLIM_INFINITY or os.geteuid() == 0:  # for whom it does not count
        return _NO_LIMIT
    used = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):  # it has ended
            facts = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            used += int(facts["Threads"]) if int(facts["Uid"].split()[0]) == os.getuid() else 0
    return most - used


def _left_to_container() -> int:
    for folder in _CONTAINER:
        with suppress(OSError, ValueError):  # none, or max
            return int(Path(folder, "pids.max").read_text()) - int(Path(folder, "pids.current").read_text())
    return _NO_LIMIT
