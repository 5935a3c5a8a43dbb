"""Compile Python files to `.pyc` files that stay valid wherever and whenever they are unpacked (PEP 552).

    python -I -S -B -W ignore compile_bytecode.py TAG LIST SOURCES OUT

TAG is what the interpreter must call its bytecode, such as cpython-313. LIST has a line for each file: its
number in SOURCES, a space, and the path it will have in the function. `OUT/<number>.pyc` is written for each
file that compiles; for one that does not, nothing.

What marshal writes depends, until Python 3.10 at least, on which strings the process knows already and on how
many references there are to them. So each file is compiled in a process of its own, forked from this one,
which has seen no other file: its bytes depend on interpreter, path and content, and on nothing that is
compiled along with it.
"""

from __future__ import annotations

import importlib.util
import marshal
import os
import signal
import sys

DOES_NOT_COMPILE = 3
UNCHECKED = 0b01
"""PEP 552: bit 0 says that the file has the source's hash, bit 1 that it must be compared on import."""


def compile_one(source: str, path: str, out: str) -> bool:
    """Write the bytecode of a file. Return whether it compiles."""
    with open(source, "rb") as stream:
        content = stream.read()
    try:
        code = compile(content, path, "exec", dont_inherit=True, optimize=-1)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        # Templates, Python 2, nested too deeply (MemoryError until 3.8): left to be what they are, as by pip.
        return False
    head = importlib.util.MAGIC_NUMBER + UNCHECKED.to_bytes(4, "little") + importlib.util.source_hash(content)
    with open(out, "wb") as stream:
        stream.write(head + marshal.dumps(code))
    return True


def start(source: str, path: str, out: str) -> None:
    """Begin to compile a file in a process of its own."""
    if os.fork():
        return
    status = 1
    try:
        status = 0 if compile_one(source, path, out) else DOES_NOT_COMPILE
    except OSError as error:
        print(f"{path}: {error.strerror}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def reap() -> None:
    """Wait for one process; end everything when it failed for another reason than its file."""
    _, status = os.wait()
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) in (0, DOES_NOT_COMPILE):
        return
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSEGV:
        return  # the compiler overflowed its stack; without bytecode the import will tell
    sys.exit(f"a compiler process ended with status {status:#x}")


def main() -> None:
    """Compile all files, as many at a time as there are processors."""
    tag, listing, sources, out = sys.argv[1:]
    if sys.implementation.cache_tag != tag:
        sys.exit(f"this interpreter makes {sys.implementation.cache_tag} bytecode, not {tag}")
    most = len(os.sched_getaffinity(0))
    running = 0
    with open(listing, encoding="utf-8") as lines:
        for line in lines:
            number, _, path = line.rstrip("\n").partition(" ")
            if running == most:
                reap()
                running -= 1
            start(f"{sources}/{number}.py", path, f"{out}/{number}.pyc")
            running += 1
    for _ in range(running):
        reap()


if __name__ == "__main__":
    main()
