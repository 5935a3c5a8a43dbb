"""Import a function's handler as Lambda's runtime does, and report what that took or why it failed.

    python import_handler.py REQUEST OUT [INVOKE]

REQUEST is JSON: `handler`, `environment` (variables of the function's process), `without` (names of
variables it must not have). `OUT/report.json` is written. When all is well, the script INVOKE takes over if
it is given.

The import happens in a process of its own, so that a crash, an exit or a lack of memory is reported as well.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

LIMIT = 4 << 20
FRAMES, CHAIN, IMPORTS, NAMES = 50, 10, 25, 200
TASK, RUNTIME = "/var/task", "/var/runtime"


class Stopwatch:
    """Measures every import, by itself and with all that it imports in turn, as `-X importtime` does."""

    def __init__(self) -> None:
        self.seconds: dict[str, tuple[float, float]] = {}
        self._inner: list[float] = []

    def watch(self) -> None:
        """Measure from now on. Where the interpreter is made otherwise, nothing is measured."""
        bootstrap = vars(sys.modules["_frozen_importlib"])
        original = bootstrap.get("_find_and_load_unlocked")
        if original is None:
            return

        def timed(name: str, import_: object) -> object:
            started = time.perf_counter()
            self._inner.append(0.0)
            try:
                return original(name, import_)
            finally:
                total = time.perf_counter() - started
                own = total - (self._inner.pop() if self._inner else 0.0)
                if self._inner:
                    self._inner[-1] += total
                self.seconds[name] = (own, total)

        bootstrap["_find_and_load_unlocked"] = timed

    def report(self) -> dict[str, object]:
        """Return the slowest modules, and what each package's modules take in sum."""
        packages: dict[str, list[float]] = {}
        for name, (own, _) in self.seconds.items():
            entry = packages.setdefault(name.partition(".")[0], [0.0, 0])
            entry[0] += own
            entry[1] += 1
        modules = sorted(self.seconds.items(), key=lambda item: -item[1][0])
        ordered = sorted(packages.items(), key=lambda item: -item[1][0])
        return {
            "modules": [
                {"name": name, "own": own, "total": total} for name, (own, total) in modules[:IMPORTS]
            ],
            "packages": [
                {"name": name, "own": own, "modules": int(count)} for name, (own, count) in ordered[:IMPORTS]
            ],
            "count": len(self.seconds),
        }


def arrange_path() -> None:
    """Set the module path to Lambda's order: the function, layers, what the runtime brings, the language."""
    version = "python{}.{}".format(*sys.version_info)
    own = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    layers = ["/opt/python/lib/" + version + "/site-packages", "/opt/python"]
    rest = [part for part in sys.path[1:] if part not in own]
    site = [part for part in rest if part.endswith("-packages")]
    language = [part for part in rest if part not in site]
    sys.path[:] = [TASK, *own, *layers, *site, RUNTIME, *language]


def import_handler(handler: str) -> dict[str, object]:
    """Import the handler's module and look the function up, as awslambdaric's `_get_handler` does."""
    import importlib

    module_name, _, name = handler.rpartition(".")
    watch = Stopwatch()
    watch.watch()
    started = time.perf_counter()
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except BaseException as error:
        return {"stage": "import", "errors": chain_of(error)}
    seconds = time.perf_counter() - started
    found = getattr(module, name, None)
    if not callable(found):
        public = [
            one for one in dir(module) if not one.startswith("_") and callable(getattr(module, one, None))
        ]
        return {"stage": "handler", "missing": not hasattr(module, name), "names": public[:NAMES]}
    return {"stage": "done", "seconds": seconds, "imports": watch.report()}


def chain_of(error: BaseException) -> list[dict[str, object]]:
    """Return an exception and what caused it, outermost first."""
    found: list[dict[str, object]] = []
    one: BaseException | None = error
    while one is not None and len(found) < CHAIN:
        found.append(told(one))
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return found


def told(error: BaseException) -> dict[str, object]:
    """Return what an exception says of itself, with the frames it came through."""
    import traceback

    frames = [
        [frame.filename, frame.lineno or 0, frame.name, frame.line or ""]
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and not frame.filename.startswith("<frozen importlib")
    ]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append([error.filename, error.lineno or 0, "", (error.text or "").strip()])
    try:
        message = str(error)
    except Exception:  # the function's own exception, whose text it may fail to make
        message = ""
    return {
        "type": type(error).__name__,
        "kinds": [kind.__name__ for kind in type(error).__mro__],
        "message": message[:4000],
        "name": text_of(getattr(error, "name", None)),
        "path": text_of(getattr(error, "path", None)),
        "errno": error.errno if isinstance(error, OSError) else None,
        "filename": text_of(getattr(error, "filename", None)),
        "frames": frames[-FRAMES:],
    }


def text_of(value: object) -> str | None:
    """Return an attribute of an exception if it is what it should be."""
    return value[:4000] if isinstance(value, str) else None


def serve_child(handler: str, descriptor: int) -> None:
    """Be the function's process: import, report through the pipe, and end whatever threads still run."""
    arrange_path()
    sys.argv[:] = [sys.argv[0], handler]
    report = json.dumps(import_handler(handler))
    sys.stdout.flush()
    sys.stderr.flush()
    with os.fdopen(descriptor, "w") as pipe:
        pipe.write(report)
    os._exit(0)


def run_child(request: dict[str, object], environment: dict[str, str]) -> dict[str, object]:
    """Run the function's process, and return its report with its peak memory and how it ended."""
    reading, writing = os.pipe()
    command = [sys.executable, __file__, str(request["handler"]), str(writing)]
    started = time.perf_counter()
    child = subprocess.Popen(command, env=environment, cwd=TASK, pass_fds=[writing], stdin=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read(LIMIT)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    try:
        report: dict[str, object] = json.loads(said)
    except ValueError:
        report = {"stage": "import", "errors": []}
    return {
        **report,
        "exit_code": child.returncode,
        "peak_memory": usage.ru_maxrss * 1024,
        "process_seconds": time.perf_counter() - started,
    }


def main() -> None:
    """Import, report, and let the invocation follow."""
    request_path, out, *then = sys.argv[1:]
    with open(request_path, encoding="utf-8") as stream:
        request = json.load(stream)
    inherited = {name: value for name, value in os.environ.items() if name not in request["without"]}
    report = run_child(request, {**inherited, **request["environment"]})
    with open(out + "/report.json", "w", encoding="utf-8") as stream:
        json.dump(report, stream)
    if report["exit_code"] == -signal.SIGKILL:
        sys.exit(1)  # the engine knows whether it was for memory
    if report["stage"] == "done" and then:
        os.execv(sys.executable, [sys.executable, then[0], request_path, out])


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[2].isdecimal():
        serve_child(sys.argv[1], int(sys.argv[2]))
    else:
        main()
