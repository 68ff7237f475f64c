"""The table of everything in aibox that reads what others wrote, and of what it is fed."""

import enginereaders
import filereaders
import imagereaders
from rows import Reader

READERS: tuple[Reader, ...] = (*filereaders.READERS, *enginereaders.READERS, *imagereaders.READERS)
