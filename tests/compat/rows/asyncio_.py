"""asyncio: a server and clients over the loopback interface, child processes, timers, signals."""

import asyncio
import os
import signal


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((await reader.readline()).upper())
    await writer.drain()
    writer.close()


async def ask(port: int, word: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{word}\n".encode())
    told = (await reader.readline()).decode().strip()
    writer.close()
    return told


async def main() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    told = await asyncio.gather(*(ask(port, f"word{n}") for n in range(100)))
    assert told == [f"WORD{n}" for n in range(100)]
    child = await asyncio.create_subprocess_exec("sh", "-c", "cat; exit 7", stdin=-1, stdout=-1)
    out, _ = await child.communicate(b"through")
    assert (out, child.returncode) == (b"through", 7)
    caught = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, caught.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.wait_for(caught.wait(), 5)


asyncio.run(main())
