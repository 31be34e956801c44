"""A recorder's store and publisher in a process of their own, writing on until standard input ends.

python -m support.history_writer FOLDER ROWS_A_SECOND      metrics whose `seq` and `value` count from 0
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from support.history import NOW, batch_of, open_store

from actors.history.protocol import Outcome
from actors.history.publishing import Publisher

BATCHES_A_SECOND = 10
PUBLISH_EVERY = 0.5


def main(folder: Path, rows_a_second: int) -> None:
    """Store and publish; say `published` after the first time."""
    store = open_store(folder)
    publisher = Publisher(store.folder, lambda work: work(store), now=time.time)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    size = rows_a_second // BATCHES_A_SECOND
    number = 0
    publish_at = 0.0
    while not ended.wait(1 / BATCHES_A_SECOND):
        rows = [
            [seq, 7, NOW + seq / 1e3, "/", "n", float(seq), "count"]
            for seq in range(number * size, number * size + size)
        ]
        number += 1
        answer = store.store(batch_of(number, rows))
        assert answer.outcome is Outcome.STORED, answer
        if time.monotonic() >= publish_at:
            publish_at = time.monotonic() + PUBLISH_EVERY
            assert publisher.turn(), publisher.problem
            if number == 1:
                sys.stdout.write("published\n")
                sys.stdout.flush()
    assert publisher.turn(is_last=True), publisher.problem
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
