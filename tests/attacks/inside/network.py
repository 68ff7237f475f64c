"""The network, the host's sockets, and rare socket families."""

import socket
import struct

from kernel import CLONE_NEWNET, Refused, call, new_namespaces, number, text

AF_ALG, AF_XDP, AF_RDS, AF_TIPC = 38, 44, 21, 30


def tcp(address: str) -> str:
    """Connect to a listener of the host."""
    with socket.create_connection((address, number("tcp_port")), timeout=5):
        return f"connected to {address}:{number('tcp_port')}"


def tcp_loopback() -> str:
    """On its loopback device."""
    return tcp("127.0.0.1")


def tcp_address() -> str:
    """On its network address."""
    return tcp(text("address"))


def dns() -> str:
    """Ask a name server of the host."""
    question = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\5aibox\4test\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(3)
        asking.connect(("127.0.0.1", number("udp_port")))
        asking.send(question)
        return f"an answer of {len(asking.recv(512))} bytes"


def abstract() -> str:
    """Connect to an abstract socket of the host."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(b"\0" + text("abstract").encode())
        return "connected"


def other_box() -> str:
    """Connect to an abstract socket of another box."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(b"\0" + text("peer").encode())
        return "connected"


def workspace_socket() -> str:
    """Connect to a socket of the host that lies in the workspace."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("/workspace/.attack/planted/socket")
        return "connected"


def interfaces() -> str:
    """Find a network device besides loopback."""
    found = [name for _, name in socket.if_nameindex() if name != "lo"]
    if found:
        return " ".join(found)
    raise Refused("only lo")


def raw() -> str:
    """A raw IP socket."""
    new_namespaces(CLONE_NEWNET)
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    return "a raw socket"


def packet() -> str:
    """Packets below IP."""
    new_namespaces(CLONE_NEWNET)
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    return "a packet socket"


def vsock() -> str:
    """The way from a virtual machine to its host."""
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()
    return "a VSOCK socket"


def vsock_high_bits() -> str:
    """The same with bits above those that the kernel looks at."""
    return f"descriptor {call('socket', 1 << 40 | socket.AF_VSOCK, socket.SOCK_STREAM, 0)}"


def vsock_pair() -> str:
    """A pair of them."""
    return f"descriptor {call('socketpair', socket.AF_VSOCK, socket.SOCK_STREAM, 0, struct.pack('ii', 0, 0))}"


def family(which: int, kind: int) -> str:
    """A socket of a family by its number."""
    socket.socket(which, kind).close()
    return f"a socket of family {which}"


def alg() -> str:
    """The kernel's cryptography."""
    return family(AF_ALG, socket.SOCK_SEQPACKET)


def xdp() -> str:
    """Packets by shared rings."""
    new_namespaces(CLONE_NEWNET)
    return family(AF_XDP, socket.SOCK_RAW)


def rds_tipc() -> str:
    """Cluster protocols, known for their bugs."""
    try:
        return family(AF_RDS, socket.SOCK_SEQPACKET)
    except OSError:
        return family(AF_TIPC, socket.SOCK_STREAM)
