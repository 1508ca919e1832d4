"""Many recordings at once: fresh worker processes, each a parent that never speaks."""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from s3prl_plugins.corpora.espeak import Engine, require_espeak
from s3prl_plugins.corpora.recordings import Recording, Take, write
from s3prl_plugins.errors import CorpusError

__all__ = ["record"]

_BATCH = 8


def record(recordings: Sequence[Recording], root: Path, jobs: int) -> Iterator[Take]:
    """Make every recording below `root`; yields takes as they are done, in any order.

    Workers are spawned, not forked: small processes fork quickly and inherit no threads. A script that calls this
    needs the usual `if __name__ == "__main__":`.

    :param jobs: worker processes, at least 1; the files do not depend on it.
    :raises CorpusError: espeak-ng is missing or fails, no fork, a worker was killed.
    """
    require_espeak()
    batches = [recordings[start : start + _BATCH] for start in range(0, len(recordings), _BATCH)]
    with (
        tempfile.TemporaryDirectory(prefix="s3prl-plugins-") as scratch,
        ProcessPoolExecutor(
            max_workers=max(1, min(jobs, len(batches))),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_open,
            initargs=(scratch,),
        ) as pool,
    ):
        futures = [pool.submit(_work, batch, str(root)) for batch in batches]
        try:
            for future in as_completed(futures):
                yield from future.result()
        except BrokenProcessPool as error:
            raise CorpusError("a process that makes audio was killed (out of memory?); try fewer --jobs") from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_engines: list[Engine] = []
"""The engine of a worker process; always empty elsewhere."""


def _open(scratch: str) -> None:
    # Ctrl-C is the parent's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _engines.append(Engine(Path(tempfile.mkdtemp(dir=scratch))))


def _work(batch: Sequence[Recording], root: str) -> list[Take]:
    return [write(recording, _engines[0], Path(root)) for recording in batch]
