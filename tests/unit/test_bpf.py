"""The tests' own BPF interpreter: what it accepts, refuses and computes."""

import struct

import bpf
import pytest


def program(*instructions: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in instructions)


ALLOW = (bpf.GIVE, 0, 0, bpf.ALLOW)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (b"", "0 bytes"),
        (b"1234567", "7 bytes"),
        (program(ALLOW) * 4097, "32776 bytes"),
        (program((bpf.LOAD, 0, 0, 64), ALLOW), "outside"),
        (program((bpf.LOAD, 0, 0, 2), ALLOW), "outside"),
        (program((bpf.JUMP, 0, 0, 1), ALLOW), "jumps out"),
        (program((bpf.IF_EQUAL, 0, 1, 1), ALLOW), "jumps out"),
        (program((0x28, 0, 0, 0), ALLOW), "code 0x28"),
        (program(ALLOW, (bpf.LOAD, 0, 0, 0)), "does not return"),
    ],
)
def test_malformed_programs_are_refused(code: bytes, message: str) -> None:
    with pytest.raises(bpf.MalformedError, match=message):
        bpf.decode(code)


def test_fields_lie_where_the_kernel_puts_them() -> None:
    values = (0x1111111122222222, 0x3333333344444444, 5, 6, 7, 0x8888888899999999)
    places = {0: 42, 4: 0xC000003E, 16: 0x22222222, 20: 0x11111111, 24: 0x44444444, 56: 0x99999999, 60: 0x88888888}
    for offset, value in places.items():
        code = program((bpf.LOAD, 0, 0, offset), (bpf.IF_EQUAL, 0, 1, value), ALLOW, (bpf.GIVE, 0, 0, bpf.ERRNO | 1))
        assert bpf.run(bpf.decode(code), arch=0xC000003E, number=42, arguments=values) == bpf.ALLOW, offset


@pytest.mark.parametrize(
    ("code", "constant", "true_for", "false_for"),
    [
        (bpf.IF_EQUAL, 7, (7,), (6, 8, 0xFFFFFFFF)),
        (bpf.IF_GREATER, 7, (8, 0xFFFFFFFF), (7, 0)),
        (bpf.IF_GREATER_EQUAL, 7, (7, 0xFFFFFFFF), (6, 0)),
    ],
)
def test_comparisons_are_unsigned(
    code: int, constant: int, true_for: tuple[int, ...], false_for: tuple[int, ...]
) -> None:
    made = bpf.decode(program((bpf.LOAD, 0, 0, 0), (code, 0, 1, constant), ALLOW, (bpf.GIVE, 0, 0, 0x50026)))
    assert [bpf.run(made, arch=0, number=number) for number in true_for] == [bpf.ALLOW] * len(true_for)
    assert [bpf.action(bpf.run(made, arch=0, number=number)) for number in false_for] == ["errno ENOSYS"] * len(
        false_for
    )


def test_mask_and_jump() -> None:
    made = bpf.decode(
        program((bpf.LOAD, 0, 0, 16), (bpf.AND, 0, 0, 0xF0), (bpf.JUMP, 0, 0, 1), (bpf.GIVE, 0, 0, 0),
                (bpf.IF_EQUAL, 1, 0, 0x30), ALLOW, (bpf.GIVE, 0, 0, 0x50001))
    )  # fmt: skip
    assert bpf.run(made, arch=0, number=0, arguments=(0x1234,)) == 0x50001
    assert bpf.run(made, arch=0, number=0, arguments=(0x1244,)) == bpf.ALLOW


def test_number_bounds_cover_every_range_and_refuse_a_masked_number() -> None:
    made = bpf.decode(program((bpf.LOAD, 0, 0, 0), (bpf.IF_GREATER, 0, 1, 100), (bpf.GIVE, 0, 0, 0x50001), ALLOW))
    assert bpf.number_bounds(made) == [0, 99, 100, 101, 0xFFFFFFFF]
    masked = bpf.decode(program((bpf.LOAD, 0, 0, 0), (bpf.AND, 0, 0, 1), (bpf.IF_EQUAL, 0, 0, 1), ALLOW))
    with pytest.raises(bpf.MalformedError, match="masked"):
        bpf.number_bounds(masked)


def test_listing_names_fields_numbers_and_actions() -> None:
    made = bpf.decode(
        program((bpf.LOAD, 0, 0, 0), (bpf.IF_EQUAL, 0, 1, 101), (bpf.GIVE, 0, 0, 0x50001), (bpf.LOAD, 0, 0, 24), ALLOW)
    )
    assert bpf.listing(made, {101: "ptrace"}) == [
        "   0 load number",
        "   1 if number == 101 goto 2 else 3  # ptrace",
        "   2 return errno EPERM",
        "   3 load arg1.low",
        "   4 return allow",
    ]
