"""Progress of transfers, in bytes."""

from aibox.meter import Meter


def test_a_long_transfer_is_told() -> None:
    now, said = [100.0], list[str]()
    meter = Meter("runsc", 64 << 20, said.append, lambda: now[0])
    for second in (0.2, 0.9, 1.1, 2.0, 3.9, 4.2, 9.0):
        now[0] = 100 + second
        meter.add(8 << 20)
    meter.end()
    assert said == [
        "runsc: 24 MiB of 64 MiB (37 %), 22 MiB/s",
        "runsc: 48 MiB of 64 MiB (75 %), 11 MiB/s",
        "runsc: 56 MiB of 64 MiB (87 %), 6.2 MiB/s",
        "runsc: 56 MiB in 9 s, 6.2 MiB/s",
    ]


def test_a_short_one_is_not() -> None:
    now, said = [0.0], list[str]()
    meter = Meter("runsc", 10, said.append, lambda: now[0])
    now[0] = 0.9
    meter.add(10)
    meter.end()
    assert said == []


def test_without_a_length() -> None:
    now, said = [0.0], list[str]()
    meter = Meter("runsc", 0, said.append, lambda: now[0])
    now[0] = 2.0
    meter.add(2048)
    assert said == ["runsc: 2.0 KiB, 1.0 KiB/s"]
