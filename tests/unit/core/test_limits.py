"""Bad input is refused with the field and the limit named, and nothing else happens."""

from __future__ import annotations

import pytest

from becket.core.errors import GiveUpError, InvalidInputError
from becket.core.limits import Limits
from becket.core.replication.cells import Kind, Operation
from becket.core.replication.versions import ZERO

LIMITS = Limits()


@pytest.mark.parametrize("key", [b"k", b"k" * 4096, b"\x00", "ключ".encode()])
def test_keys_within_the_limit(key: bytes) -> None:
    LIMITS.check_key(key)


@pytest.mark.parametrize(("key", "told"), [(b"", "is 0 bytes"), (b"k" * 4097, "is 4097 bytes")])
def test_keys_out_of_the_limit(key: bytes, told: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"key: {told}, must be 1\.\.4096"):
        LIMITS.check_key(key)


@pytest.mark.parametrize(
    ("operation", "field"),
    [
        (Operation(Kind.PUT, b"v" * (1 << 20) + b"v"), "operation.value"),
        (Operation(Kind.PUT, b"v", ttl_ms=-1), "operation.ttl"),
        (Operation(Kind.PUT, b"v", ttl_ms=10**15), "operation.ttl"),
        (Operation(Kind.INCREMENT, delta=2**63), "operation.delta"),
        (Operation(Kind.PUT, b"v", if_absent=True, if_version=ZERO), "operation.if_absent"),
        (Operation(Kind.GET, if_version=ZERO), "operation.if_version"),
        (Operation(Kind.INCREMENT, if_absent=True), "operation.if_version"),
        (Operation(Kind.DELETE, if_absent=True), "operation.if_absent"),
    ],
)
def test_operations_out_of_their_limits_name_the_field(operation: Operation, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        LIMITS.check_operation(operation)
    assert caught.value.field == field
    assert isinstance(caught.value, GiveUpError)


def test_the_largest_operation_passes() -> None:
    LIMITS.check_operation(Operation(Kind.PUT, b"v" * (1 << 20), ttl_ms=LIMITS.ttl_ms))
    LIMITS.check_operation(Operation(Kind.INCREMENT, delta=-(2**63)))
    LIMITS.check_operation(Operation(Kind.DELETE, if_version=ZERO))


def test_a_batch_names_the_operation_that_is_refused() -> None:
    good = (b"k", Operation(Kind.GET))
    LIMITS.check_batch([good] * 1000)
    with pytest.raises(InvalidInputError, match=r"operations\[2\]\.key"):
        LIMITS.check_batch([good, good, (b"", Operation(Kind.GET))])
    with pytest.raises(InvalidInputError, match=r"holds 1001, must be 1\.\.1000"):
        LIMITS.check_batch([good] * 1001)
    with pytest.raises(InvalidInputError, match="holds 0"):
        LIMITS.check_batch([])
    heavy = (b"k", Operation(Kind.PUT, b"v" * (1 << 20)))
    with pytest.raises(InvalidInputError, match="must be at most 4194304"):
        LIMITS.check_batch([heavy] * 4)


def test_pages() -> None:
    assert LIMITS.check_page(0) == 1000
    assert LIMITS.check_page(7) == 7
    with pytest.raises(InvalidInputError, match="page_size"):
        LIMITS.check_page(1001)


@pytest.mark.parametrize(
    ("field", "value"),
    [("key_bytes", 0), ("value_bytes", -1), ("batch_operations", 0), ("batch_bytes", 100)],
)
def test_limits_have_limits(field: str, value: int) -> None:
    with pytest.raises(InvalidInputError, match=field):
        Limits(**{field: value})
