"""Bad input is refused with the path of its field, as the proto names it."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from becket.adapters.rpc.errors import from_status
from becket.adapters.rpc.operations import (
    ANY_AGE,
    NOBODY,
    Caller,
    Request,
    operation_id_bytes,
    parse,
    parse_batch,
    result_to_bytes,
)
from becket.adapters.rpc.rings import version_to_bytes, version_to_proto
from becket.api.v1 import key_value_pb2 as kv
from becket.api.v1 import types_pb2
from becket.core.errors import (
    BecketError,
    BugError,
    ConditionFailedError,
    CounterOverflowError,
    InvalidInputError,
    NotACounterError,
)
from becket.core.limits import Limits
from becket.core.replication.cells import Kind, Operation, Result, Verdict
from becket.core.replication.versions import ZERO, Epoch, Version

LIMITS = Limits()
V = Version(Epoch(3, "d1", 2), 7)
PUT = Operation(Kind.PUT)
BIG = b"v" * (LIMITS.value_bytes + 1)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (kv.GetRequest(), "key"),
        (kv.GetRequest(key=b"k" * 4097), "key"),
        (kv.GetRequest(key=b"k", consistency=9), "consistency"),  # type: ignore[arg-type]
        (kv.GetRequest(key=b"k", max_staleness=Duration(seconds=1)), "max_staleness"),
        (kv.GetRequest(key=b"k", consistency=2, max_staleness=Duration()), "max_staleness"),  # type: ignore[arg-type]
        (kv.PutRequest(key=b"k", value=BIG), "value"),
        (kv.PutRequest(key=b"k", ttl=Duration()), "ttl"),
        (kv.PutRequest(key=b"k", ttl=Duration(seconds=-1)), "ttl"),
        (kv.PutRequest(key=b"k", ttl=Duration(seconds=10**11)), "ttl"),
        (kv.PutRequest(key=b"k", if_version=b"garbage"), "if_version"),
        (kv.PutRequest(key=b"k", if_absent=True, if_version=version_to_bytes(V)), "if_absent"),
        (kv.PutRequest(key=b"k", request_id="x" * 65), "request_id"),
        (kv.PutRequest(key=b"k", request_id="ж" * 33), "request_id"),
        (kv.PutRequest(key=b"k", retry=True), "retry"),
        (
            kv.DeleteRequest(key=b"k", operation_id=types_pb2.OperationId()),
            "operation_id.session_id",
        ),
        (
            kv.IncrementRequest(key=b"k", operation_id=types_pb2.OperationId(session_id="s")),
            "operation_id.number",
        ),
        (
            kv.PutRequest(
                key=b"k",
                request_id="r",
                operation_id=types_pb2.OperationId(session_id="s", number=1),
            ),
            "request_id",
        ),
    ],
)
def test_bad_input_names_its_field(request_: Request, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse(request_, LIMITS)
    assert caught.value.field == field
    operation = kv.Operation()
    kind = type(request_).__name__.removesuffix("Request").lower()
    getattr(operation, kind).CopyFrom(request_)
    good = kv.Operation(get=kv.GetRequest(key=b"k"))
    with pytest.raises(InvalidInputError) as caught:
        parse_batch([good, operation], LIMITS)
    assert caught.value.field == f"operations[1].{kind}.{field}"


def test_a_put_with_everything() -> None:
    request = kv.PutRequest(
        key=b"k",
        value=b"v",
        ttl=Duration(nanos=1),
        if_version=version_to_bytes(V),
        retry=True,
        operation_id=types_pb2.OperationId(session_id="s", number=4),
    )
    parsed = parse(request, LIMITS)
    # Part of a millisecond counts as a whole one: nothing expires before its time.
    assert parsed.operation == Operation(Kind.PUT, b"v", 1, if_version=V)
    assert parsed.caller == Caller("s", 4, ZERO, retry=True)


@given(
    st.text(min_size=1, max_size=64),
    st.integers(1, (1 << 64) - 1),
    st.none() | st.tuples(st.integers(1, 1 << 40), st.text(max_size=20), st.integers(0, 1 << 40)),
    st.integers(1, 1 << 60),
)
def test_an_identity_is_written_as_protobuf_would(
    session: str, number: int, epoch: tuple[int, str, int] | None, seq: int
) -> None:
    stamp = ZERO if epoch is None else Version(Epoch(*epoch), seq)
    expected = types_pb2.OperationId(session_id=session, number=number)
    if epoch is not None:
        expected.stamp.CopyFrom(version_to_proto(stamp))
    written = operation_id_bytes(session, number, stamp)
    assert written == expected.SerializeToString(deterministic=True)


def test_r32_a_request_id_is_a_session_without_stamps() -> None:
    parsed = parse(kv.DeleteRequest(key=b"k", request_id="r"), LIMITS)
    assert parsed.caller == Caller("r", 1, None, retry=False)
    assert parse(kv.DeleteRequest(key=b"k"), LIMITS).caller == NOBODY


@pytest.mark.parametrize(
    ("request_", "staleness_us"),
    [
        (kv.GetRequest(key=b"k"), -1),
        (kv.GetRequest(key=b"k", consistency=1), -1),  # type: ignore[arg-type]
        (kv.GetRequest(key=b"k", consistency=2), 5_000_000),  # type: ignore[arg-type]
        (kv.GetRequest(key=b"k", consistency=2, max_staleness=Duration(nanos=1500)), 2),  # type: ignore[arg-type]
        (kv.GetRequest(key=b"k", consistency=3), ANY_AGE),  # type: ignore[arg-type]
    ],
)
def test_consistency(request_: kv.GetRequest, staleness_us: int) -> None:
    assert parse(request_, LIMITS).staleness_us == staleness_us


def test_a_batch_is_refused_as_a_whole() -> None:
    get = kv.Operation(get=kv.GetRequest(key=b"k"))
    assert len(parse_batch([get] * 1000, LIMITS)) == 1000
    for batch, field in (
        ([], "operations"),
        ([get] * 1001, "operations"),
        ([get, kv.Operation()], "operations[1]"),
        ([get, kv.Operation(delete=kv.DeleteRequest())], "operations[1].delete.key"),
        ([kv.Operation(put=kv.PutRequest(key=b"k", value=b"v" * (1 << 20)))] * 5, "operations"),
    ):
        with pytest.raises(InvalidInputError) as caught:
            parse_batch(batch, LIMITS)
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("operation", "result", "told"),
    [
        (Operation(Kind.GET), Result(Verdict.ABSENT), kv.Result(get=kv.GetResponse())),
        (
            Operation(Kind.GET),
            Result(Verdict.DONE, V, b"v"),
            kv.Result(
                get=kv.GetResponse(
                    entry=kv.Entry(key=b"k", value=b"v", version=version_to_bytes(V))
                )
            ),
        ),
        (PUT, Result(Verdict.DONE, V), kv.Result(put=kv.PutResponse(version=version_to_bytes(V)))),
        (
            Operation(Kind.DELETE),
            Result(Verdict.DONE),
            kv.Result(delete=kv.DeleteResponse(deleted=True)),
        ),
        (
            Operation(Kind.DELETE),
            Result(Verdict.ABSENT),
            kv.Result(delete=kv.DeleteResponse(deleted=False)),
        ),
        (
            Operation(Kind.INCREMENT, delta=1),
            Result(Verdict.DONE, V, b"-5"),
            kv.Result(increment=kv.IncrementResponse(value=-5, version=version_to_bytes(V))),
        ),
    ],
)
def test_results(operation: Operation, result: Result, told: kv.Result) -> None:
    assert answered(operation, result) == told


def answered(operation: Operation, result: Result) -> kv.Result:
    return kv.Result.FromString(result_to_bytes(b"k", operation, result))


@given(
    st.binary(min_size=1, max_size=300),
    st.binary(max_size=40_000),
    st.integers(1, 2**64 - 1),
    st.sampled_from([0, 1, 1_700_000_000_123]),
)
def test_what_is_put_together_by_hand_is_what_protobuf_writes(
    key: bytes, value: bytes, number: int, expire_ms: int
) -> None:
    version = Version(Epoch(number, "disk", number), number)
    data = version_to_bytes(version)
    entry = kv.Entry(key=key, value=value, version=data)
    if expire_ms:
        entry.expire_time.FromMilliseconds(expire_ms)
    read = Result(Verdict.DONE, version, value, expire_ms)
    whole = kv.Result(get=kv.GetResponse(entry=entry))
    assert result_to_bytes(key, Operation(Kind.GET), read) == whole.SerializeToString()
    written = kv.Result(put=kv.PutResponse(version=data))
    done = Result(Verdict.DONE, version)
    assert result_to_bytes(key, PUT, done) == written.SerializeToString()


def test_expiry_is_told_to_the_millisecond() -> None:
    result = Result(Verdict.DONE, V, b"v", 1_700_000_000_123)
    entry = answered(Operation(Kind.GET), result).get.entry
    assert entry.expire_time.ToMilliseconds() == 1_700_000_000_123


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (Result(Verdict.CONDITION_FAILED, V), ConditionFailedError),
        (Result(Verdict.CONDITION_FAILED), ConditionFailedError),
        (Result(Verdict.NOT_A_NUMBER, V), NotACounterError),
        (Result(Verdict.OUT_OF_RANGE, V), CounterOverflowError),
    ],
)
def test_verdicts_that_are_errors(result: Result, kind: type[BecketError]) -> None:
    error = from_status(answered(PUT, result).status)
    assert type(error) is kind
    if isinstance(error, ConditionFailedError):
        assert bool(error.version) is (result.version is not None)


def test_a_put_without_a_version_is_a_bug() -> None:
    with pytest.raises(BugError):
        result_to_bytes(b"k", PUT, Result(Verdict.DONE))
