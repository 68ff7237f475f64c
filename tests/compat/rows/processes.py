"""multiprocessing: a pool, a queue, a lock, shared memory, in each way of starting."""

import multiprocessing
import os
import sys
import threading
from multiprocessing import shared_memory


def square(number: int) -> int:
    return number * number


def fill(name: str, lock: object, queue: object) -> None:
    block = shared_memory.SharedMemory(name)
    with lock:
        block.buf[0] += 1
    block.close()
    queue.put(1)


def give_up() -> None:
    print("a semaphore is never free", flush=True)
    os._exit(1)


def main() -> None:
    watchdog = threading.Timer(60, give_up)
    watchdog.daemon = True
    watchdog.start()
    for way in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(way)
        with context.Pool(2) as pool:
            assert sum(pool.map(square, range(1000))) == 332833500
        block = shared_memory.SharedMemory(create=True, size=4096)
        lock, queue = context.Lock(), context.Queue()
        children = [context.Process(target=fill, args=(block.name, lock, queue)) for _ in range(4)]
        for child in children:
            child.start()
        assert [queue.get(timeout=30) for _ in children] == [1] * 4
        for child in children:
            child.join()
        assert block.buf[0] == 4
        block.close()
        block.unlink()


if __name__ == "__main__":
    sys.exit(main())
