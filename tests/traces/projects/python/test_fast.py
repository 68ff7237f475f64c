"""Uses the extension, and what test suites use: processes, threads, sockets, SQLite, temporary files, asyncio."""

import asyncio
import concurrent.futures
import mmap
import multiprocessing
import os
import pty
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import unittest

import fast


def double(number: int) -> int:
    return 2 * number


class Fast(unittest.TestCase):
    def test_extension(self) -> None:
        self.assertEqual(fast.total(range(101)), 5050)

    def test_processes(self) -> None:
        with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            self.assertEqual(list(pool.map(double, range(5))), [0, 2, 4, 6, 8])
        queue = multiprocessing.get_context("fork").Queue()
        child = multiprocessing.get_context("fork").Process(target=queue.put, args=(3,))
        child.start()
        self.assertEqual(queue.get(timeout=20), 3)
        child.join()
        done = subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, start_new_session=True)
        self.assertEqual(done.stdout, b"1\n")

    def test_asyncio(self) -> None:
        async def talk() -> bytes:
            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(await reader.readline())
                await writer.drain()
                writer.close()

            server = await asyncio.start_server(answer, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\n")
            got = await reader.readline()
            writer.close()
            child = await asyncio.create_subprocess_exec("true")
            assert await child.wait() == 0
            server.close()
            return got

        self.assertEqual(asyncio.run(talk()), b"hello\n")

    def test_sockets(self) -> None:
        left, right = socket.socketpair()
        left.sendall(b"x")
        self.assertEqual(right.recv(1), b"x")
        with socket.socket(socket.AF_INET6) as six, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            self.assertGreater(six.fileno(), 0)
            datagram.bind(("127.0.0.1", 0))
        self.assertTrue(socket.getaddrinfo("127.0.0.1", 80))

    def test_database(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            database = sqlite3.connect(os.path.join(folder, "a.db"))
            database.execute("pragma journal_mode=wal")
            database.execute("create table t (n int)")
            database.executemany("insert into t values (?)", [(n,) for n in range(100)])
            database.commit()
            self.assertEqual(database.execute("select sum(n) from t").fetchone(), (4950,))
            database.close()
            shutil.copytree(folder, folder + "-copy")
            shutil.rmtree(folder + "-copy")

    def test_terminal(self) -> None:
        child, descriptor = pty.fork()
        if child == 0:
            os.execvp("stty", ["stty", "size"])
        self.assertIn(b" ", os.read(descriptor, 100))
        os.waitpid(child, 0)

    def test_threads_and_signals(self) -> None:
        seen = []
        signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        threading.Event().wait(0.2)
        threads = [threading.Thread(target=seen.append, args=(2,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(seen), [1, 2, 2, 2, 2])

    def test_mapped_memory(self) -> None:
        with mmap.mmap(-1, 8192) as memory:
            memory.write(b"x" * 8192)
            memory.flush()
        self.assertGreater(len(os.sched_getaffinity(0)), 0)
        self.assertEqual(len(os.getrandom(8)), 8)


if __name__ == "__main__":
    unittest.main()
