"""UNIX sockets: in the workspace and abstract, stream and datagram, with a file descriptor and credentials sent."""

import os
import socket
import struct
import threading

for address in ("socket", "\0compat"):
    if address[0] != "\0" and os.path.exists(address):
        os.unlink(address)
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen()

    def serve(listening: socket.socket) -> None:
        client, _ = listening.accept()
        told = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        assert struct.unpack("3i", told)[1] == os.getuid()
        with open("/etc/hostname" if os.path.exists("/etc/hostname") else "/etc/passwd", "rb") as file:
            socket.send_fds(client, [b"x"], [file.fileno()])
        client.close()

    thread = threading.Thread(target=serve, args=(server,))
    thread.start()
    client = socket.socket(socket.AF_UNIX)
    client.connect(address)
    message, descriptors, _, _ = socket.recv_fds(client, 10, 1)
    assert message == b"x"
    assert os.read(descriptors[0], 1000)
    thread.join()
one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
one.send(b"datagram")
assert other.recv(100) == b"datagram"
