"""sqlite: a database in the workspace in WAL mode, written by four processes at once, read while it is written."""

import sqlite3
from multiprocessing import Process
from pathlib import Path


def write(name: int) -> None:
    database = sqlite3.connect("test.db", timeout=60)
    for n in range(25):
        with database:
            database.execute("insert into t values (?, ?)", (name, n))


for old in Path(".").glob("test.db*"):
    old.unlink()
database = sqlite3.connect("test.db", timeout=60)
assert database.execute("pragma journal_mode=wal").fetchone() == ("wal",)
with database:
    database.execute("create table t (a integer, b integer)")
writers = [Process(target=write, args=(n,)) for n in range(4)]
for writer in writers:
    writer.start()
while any(writer.is_alive() for writer in writers):
    database.execute("select count(*) from t").fetchone()
for writer in writers:
    writer.join()
    assert writer.exitcode == 0
assert database.execute("select count(*) from t").fetchone() == (100,)
assert Path("test.db-wal").exists()
assert database.execute("pragma wal_checkpoint(truncate)").fetchone()[0] == 0
assert database.execute("pragma integrity_check").fetchone() == ("ok",)
