"""Settings of the unit tests."""

from hypothesis import settings

# how long an example takes says nothing on a machine that does other work meanwhile
settings.register_profile("aibox", deadline=None)
settings.load_profile("aibox")
