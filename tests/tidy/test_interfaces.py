"""Pins the names of the protos that tools outside this repository rely on (fixed for ever)."""

from __future__ import annotations

import pytest

from becket.api.v1 import (
    balancer_pb2,
    errors_pb2,
    key_value_pb2,
    replica_pb2,
    ring_pb2,
    supervisor_pb2,
)

FIELDS = {
    "GetRequest": "key consistency",
    "GetResponse": "entry",
    "Entry": "key value version expire_time",
    "PutRequest": "key value ttl if_absent if_version request_id retry",
    "PutResponse": "version",
    "DeleteRequest": "key if_version request_id retry",
    "DeleteResponse": "deleted",
    "IncrementRequest": "key delta request_id retry",
    "IncrementResponse": "value version",
    "BatchRequest": "operations",
    "Operation": "get put delete increment",
    "BatchResponse": "results",
    "Result": "get put delete increment status",
    "ScanRequest": "prefix start end page_size page_token keys_only",
    "ScanResponse": "entries next_page_token",
}
CALLS = {
    "KeyValueService": "Get Put Delete Increment Batch Pipeline Scan",
    "RingService": "GetRing WatchRing Locate Explain",
    "SupervisorService": (
        "GetStatus ListMembers DrainMember UndrainMember PlanRebalance ApplyPlan PausePlan"
        " ResumePlan CancelPlan GetPlan SetMemberCount WatchEvents"
    ),
    "BalancerService": "ReportLoad WatchWeights GetWeights",
    "ReplicaService": "Exchange Copy Beat OfferRing WatchMember",
}


@pytest.mark.parametrize("name", FIELDS)
def test_fixed_field_names(name: str) -> None:
    fields = key_value_pb2.DESCRIPTOR.message_types_by_name[name].fields_by_name
    assert set(FIELDS[name].split()) <= set(fields)


@pytest.mark.parametrize("name", CALLS)
def test_fixed_calls(name: str) -> None:
    files = (balancer_pb2, key_value_pb2, replica_pb2, ring_pb2, supervisor_pb2)
    services = {
        service: descriptor
        for file in files
        for service, descriptor in file.DESCRIPTOR.services_by_name.items()
    }
    assert services[name].full_name == f"becket.api.v1.{name}"
    assert set(CALLS[name].split()) <= set(services[name].methods_by_name)


@pytest.mark.parametrize("name", ["WRONG_MEMBER", "OUTCOME_UNKNOWN", "NOT_APPLIED"])
def test_fixed_reasons(name: str) -> None:
    assert (
        f"ERROR_REASON_{name}"
        in errors_pb2.DESCRIPTOR.enum_types_by_name["ErrorReason"].values_by_name
    )


def test_each_kind_of_answer_carries_a_stamp() -> None:
    messages = key_value_pb2.DESCRIPTOR.message_types_by_name
    answers = [name for name in messages if name.endswith("Response")]
    assert len(answers) == len(CALLS["KeyValueService"].split())
    for name in answers:
        assert {"stamp", "stamps"} & set(messages[name].fields_by_name), name
