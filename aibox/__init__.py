"""aibox: any workspace folder in a hardened dev container under gVisor."""

__version__ = "0.1.0"
