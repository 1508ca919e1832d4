"""Many recordings at once: fresh worker processes, each a parent that never speaks."""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
from collections.abc import Generator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from s3prl_plugins.corpora.espeak import Engine, require_espeak
from s3prl_plugins.corpora.recordings import Recording, Take, write
from s3prl_plugins.errors import CorpusError

__all__ = ["record"]

_BATCH = 8


def record(recordings: Sequence[Recording], root: Path, jobs: int) -> Generator[Take, None, None]:
    """Make every recording below `root`; yields takes as they are done, in any order.

    Workers are spawned, not forked: small processes fork quickly and inherit no threads. A script that calls this
    needs the usual `if __name__ == "__main__":`. They end when this process does, however it ends. Close the generator
    (`contextlib.closing`) where it may be left early: that waits for the workers.

    :param jobs: worker processes, at least 1; the files do not depend on it.
    :raises CorpusError: espeak-ng is missing or fails, no fork, a worker was killed.
    """
    require_espeak()
    batches = [recordings[start : start + _BATCH] for start in range(0, len(recordings), _BATCH)]
    context = multiprocessing.get_context("spawn")
    workers: dict[Connection, BaseProcess] = {}
    try:
        for _ in range(min(jobs, len(batches))):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, root))
            process.start()
            theirs.close()
            workers[ours] = process
        todo = iter(batches)
        for worker, first in zip(workers, todo):
            _hand(worker, first)
        busy = list(workers)
        while busy:
            ready = wait(busy)
            for worker in [worker for worker in busy if worker in ready]:
                yield from _answer(worker)
                following = next(todo, None)
                if following is None:
                    busy.remove(worker)
                else:
                    _hand(worker, following)
    finally:
        for worker, running in workers.items():
            worker.close()
            running.join()


def _hand(worker: Connection, batch: Sequence[Recording]) -> None:
    try:
        worker.send(batch)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise _killed() from error


def _answer(worker: Connection) -> list[Take]:
    try:
        answer = worker.recv()
    except (EOFError, ConnectionResetError) as error:
        raise _killed() from error
    if isinstance(answer, Exception):
        raise answer
    return list(answer)


def _killed() -> CorpusError:
    return CorpusError(
        "a process that makes audio must run to its end, but was killed (out of memory?); try fewer --jobs"
    )


def _serve(connection: Connection, root: Path) -> None:
    """A worker's life: batches in, takes or the first error out, until the other side is closed."""
    # Ctrl-C is the parent's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with tempfile.TemporaryDirectory(prefix="s3prl-plugins-") as scratch:
        try:
            engine = Engine(Path(scratch))
            while True:
                connection.send([write(recording, engine, root) for recording in connection.recv()])
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return
        except Exception as error:
            connection.send(error)
