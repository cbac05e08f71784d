"""What the operating system refused, with cause and fix: which file, which limit, which port."""

import errno
import re
import shutil
from contextlib import suppress
from pathlib import Path

from flows.running.settings import EACH, STAGES

STAGE = re.compile(rf"(?:.*/)?out/({'|'.join(STAGES)})(?:/([^/]+))?(?:/|$)")


def stage_of(path: str) -> str | None:
    """The stage whose output a path is, as DVC names it; None for any other path."""
    found = STAGE.match(path)
    if not found:
        return None
    name = found[2] if found[1] in EACH else None
    return f"{found[1]}@{name}" if name else found[1]


def missing_path_message(path: str) -> str:
    """What to do for a file or folder that is not there."""
    stage = stage_of(path)
    if stage:
        return f"{path} is missing: run the stage {stage} first (dvc repro {stage})"
    first = Path(path).parts[0] if Path(path).parts else ""
    if first == "data":
        return f"{path} is missing: `make data` brings back what data.dvc names, or import it again"
    if path == "params.yaml":
        return "no params.yaml here: run the command from the project's top folder"
    if first == ".tagdag":
        return f"{path} is gone: run the command again, which makes it anew"
    return f"{path}: there is no such file or folder: see that the path is right"


def file_not_found_message(error: OSError) -> str:
    """The same for an error, which may be about a program that is not installed."""
    name = str(error.filename or "")
    if not name:
        if error.errno is None:  # a library's, that puts the path into words: Rust's, Arrow's
            return missing_path_message(str(error).rpartition(": ")[2].strip("`'\""))
        lost = re.search(r"""[`"']([^`"']+)[`"']""", str(error))
        if lost:
            return missing_path_message(lost[1])
        return "the folder that this command was started in is gone: change to the project's folder"
    # Python raises the same error for a program that is not there as for a file
    if "/" not in name and from_program_start(error):
        fix = "install it, then run the command again"
        return f"the program {name} is not installed, or not on the PATH: {fix}"
    return missing_path_message(name)


def from_program_start(error: BaseException) -> bool:
    """Whether an error comes from the start of a program."""
    frames = error.__traceback__
    while frames and frames.tb_next:
        frames = frames.tb_next
    return bool(frames) and frames.tb_frame.f_code.co_filename.endswith("subprocess.py")


def disk_full_message(path: str) -> str:
    """What to do where no space is left, with how much there is."""
    place = Path(path or ".").absolute()
    with suppress(OSError):
        # the path itself may be what could not be made
        there = next(folder for folder in (place, *place.parents) if folder.exists())
        free = shutil.disk_usage(there).free / 2**20
        return (
            f"no space is left on the disk of {there} ({free:,.0f} MiB are free): free some "
            "(`dvc gc --workspace` drops what no commit names), then run the command again, and it "
            "goes on"
        )
    return f"no space is left on the disk of {place}: free some, then run the command again"


TOLD: dict[int, str] = {
    errno.EACCES: "{path}: this user may not read or write it: change its owner or mode (ls -l)",
    errno.EPERM: "{path}: this user may not do that: change its owner, mode, attributes (lsattr)",
    errno.EROFS: "{path}: a read-only file system: mount it writable, or work in a clone elsewhere",
    errno.EDQUOT: "the quota of this user is used up at {path}: free space, or ask for more",
    errno.EMFILE: "too many files are open at {path}: allow more first, `ulimit -n 8192`",
    errno.ENFILE: "too many files are open, at {path} too: end programs, or raise fs.file-max",
    errno.ENAMETOOLONG: "{path}: a name longer than the file system takes: give a shorter one",
    errno.EISDIR: "{path}: there is a folder where a file must be: move it away",
    errno.ENOTDIR: "{path}: there is a file where a folder must be: move it away",
    errno.EEXIST: "{path}: there is a file where a folder must be: move it away",
    errno.ENOTEMPTY: "{path}: another program writes to this folder: end that, run this again",
    errno.ELOOP: "{path}: its links lead in a circle: remove the link (ls -l shows where it leads)",
    errno.EXDEV: "{path}: it is on another disk than the rest: out/ and .tagdag/ must be on one",
    errno.EIO: "{path}: the disk does not answer: look at it (dmesg), restore from a copy",
    errno.ESTALE: "{path}: the network drive has lost it: mount it again, run this again",
    errno.ETXTBSY: "{path}: a program that runs at present: end it first",
    errno.EFBIG: "{path}: it would become larger than a file may be: see `ulimit -f`",
    errno.ENOMEM: "memory ran out ({path}): end other programs, or run fewer side by side",
    errno.EAGAIN: "this user may start no more processes: end others, or raise `ulimit -u`",
    errno.EADDRINUSE: "the port is taken: end the program that uses it, or choose another port",
    errno.EPIPE: "what read this command's output has ended, as `| head` does: no more is written",
}
NETWORK = (errno.EHOSTUNREACH, errno.ENETUNREACH)


def os_error_message(error: OSError) -> str | None:
    """Cause and fix in a sentence; None for an error without a number, which is a library's own."""
    number = error.errno
    if isinstance(error, FileNotFoundError):
        return file_not_found_message(error)
    # a pipe that was closed is a ConnectionError too, and has words of its own
    if isinstance(error, ConnectionError | TimeoutError) and number not in TOLD:
        said = error.strerror or str(error) or "it took too long"
        return f"the network did not answer ({said}): see that the server runs and can be reached"
    if number is None:
        return None
    if number == errno.ENOSPC:
        return disk_full_message(str(error.filename or ""))
    if number in TOLD:
        return TOLD[number].format(path=error.filename or "the disk")
    if number in NETWORK:
        return f"the network cannot be reached ({error.strerror}): see cable, route and address"
    where = f" at {error.filename}" if error.filename else ""
    return f"the system refused a call{where}: {error.strerror or error}: mend that, run this again"
