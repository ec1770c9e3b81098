"""What a supervisor makes of members that come, go, lose their disks, and of its own restarts."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from becket.core.ring.encoding import encode
from becket.core.ring.members import MemberState
from tests.unit.supervisor.stand_ins import Scene, supervising

THREE = [f"storage-{i}" for i in range(3)]
FOUR = [f"storage-{i}" for i in range(4)]


async def test_the_first_ring_comes_soon_after_the_last_member_and_reaches_all(
    scene: Scene,
) -> None:
    await scene.add_all(2)
    member = await scene.add("storage-2")
    port = int(member.address.rpartition(":")[2])
    await member.stop()
    async with supervising(scene) as office:
        await office.said("the first ring waits for storage-2")
        await member.start(port)
        began = time.monotonic()
        ring = await scene.settled(THREE)
        await office.until(lambda: all(m.ring == ring for m in scene.members.values()))
        # A bound for a busy machine; mostly it takes a tenth of that.
        assert time.monotonic() - began < 2.0
        found = await scene.topology.read()
        assert found is not None
        assert {m.encoded for m in scene.members.values()} == {found.encoded}
    assert ring.version == 1
    assert ring.partitions == 16
    assert ring.cluster.startswith("becket-")


async def test_a_new_place_joins_and_gets_its_share(scene: Scene) -> None:
    await scene.add_all(3)
    async with supervising(scene) as office:
        await scene.settled(THREE)
        await scene.add("storage-3")
        ring = await scene.settled(FOUR)
        counts = {d: len(held) for d, held in ring.partitions_by_disk.items()}
        assert set(counts.values()) == {12}
        await office.said("storage-3 joins with disk disk-of-storage-3")
        await office.said("is done")
        # Nothing more is moved once all is even.
        version = ring.version
        await office.until(lambda: office.cycle.supervision.planning.current is None)
        later = await scene.ring()
        assert later is not None
        assert later.version == version


async def test_changes_go_to_their_coordinators_by_themselves(scene: Scene) -> None:
    await scene.add_all(3)
    async with supervising(scene):
        await scene.settled(THREE)
        await scene.add("storage-3")
        await scene.settled(FOUR)
    for name in THREE:
        offers = scene.members[name].offers
        assert any(offer.configs for offer in offers)
        assert all(offer.encoded_ring for offer in offers)


async def test_a_lost_disk_is_replaced_at_once(scene: Scene) -> None:
    await scene.add_all(4)
    async with supervising(scene) as office:
        first = await scene.settled(FOUR)
        await scene.members["storage-1"].stop()
        await scene.add("storage-1", disk="another-disk")
        # As long as the others hear the old disk, this may be a wrong address.
        await office.said("storage-1 answers with another disk, the one before is still heard")
        for name in ("storage-0", "storage-2", "storage-3"):
            scene.members[name].suspect("disk-of-storage-1")
        ring = await scene.settled(FOUR, least=first.version + 1)
        assert "disk-of-storage-1" not in ring.by_disk
        assert len(ring.partitions_by_disk["another-disk"]) == 12
        await office.said("the volume of storage-1 is gone: it is replaced")
        await office.said("storage-1 (disk disk-of-storage-1) holds nothing any more: forgotten")


async def test_a_dead_member_is_waited_for_and_replaced_after_its_time(scene: Scene) -> None:
    await scene.add_all(4)
    membership = {"replace_us": 400_000, "dead_us": 300_000, "suspicion_us": 250_000}
    membership |= {"lease_us": 150_000, "flap_window_us": 10_000_000}
    async with supervising(scene, membership=membership) as office:
        first = await scene.settled(FOUR)
        await scene.members["storage-3"].stop()
        for name in THREE:
            scene.members[name].suspect("disk-of-storage-3")
        await office.said("storage-3 is dead and will be replaced in 1 s")
        ring = await scene.settled(THREE, least=first.version + 1)
        assert not ring.joint_partitions
        await office.said("storage-3 has been dead for 0 s: it is replaced")


async def test_a_dead_member_of_the_last_three_is_kept(scene: Scene) -> None:
    await scene.add_all(3)
    membership = {"replace_us": 400_000, "dead_us": 300_000, "suspicion_us": 250_000}
    membership |= {"lease_us": 150_000, "flap_window_us": 10_000_000}
    async with supervising(scene, membership=membership) as office:
        await scene.settled(THREE)
        await scene.members["storage-2"].stop()
        for name in THREE[:2]:
            scene.members[name].suspect("disk-of-storage-2")
        await office.said("but nobody could take over its copies")
        ring = await scene.ring()
        assert ring is not None
        assert all(member.state is MemberState.ACTIVE for member in ring.members)


async def test_a_place_that_vanishes_is_drained_and_forgotten(scene: Scene) -> None:
    await scene.add_all(4)
    async with supervising(scene) as office:
        await scene.settled(FOUR)
        place = scene.directory.all["storage-3"]
        scene.directory.all["storage-3"] = place._replace(service="storage-leaving")
        await scene.settled(THREE)
        await office.said("storage-3 is wished no more: drained")


async def test_a_place_that_comes_back_in_time_stays(scene: Scene) -> None:
    await scene.add_all(4)
    for member in scene.members.values():
        member.certifies = False
    async with supervising(scene) as office:
        await scene.settled(FOUR)
        place = scene.directory.all["storage-3"]
        scene.directory.all["storage-3"] = place._replace(service="storage-leaving")
        await scene.until(lambda ring: ring.joint_partitions)
        scene.directory.all["storage-3"] = place
        await office.said("storage-3 is wished for again")
        for member in scene.members.values():
            member.certifies = True
            member.wake()
        await scene.until(lambda ring: len(ring.partitions_by_disk["disk-of-storage-3"]) == 12)
        await scene.settled(FOUR)


async def test_a_supervisor_that_starts_in_the_middle_of_a_plan_finishes_it(scene: Scene) -> None:
    await scene.add_all(3)
    for member in scene.members.values():
        member.certifies = False
    async with supervising(scene, plan={"partitions": 2, "copies_per_member": 2}):
        await scene.settled(THREE)
        await scene.add("storage-3")
        await scene.until(lambda ring: len(ring.joint_partitions) == 2)
    for member in scene.members.values():
        member.certifies = True
    async with supervising(scene) as office:
        ring = await scene.settled(FOUR)
        await office.said("is done")
    assert {len(held) for held in ring.partitions_by_disk.values()} == {12}


async def test_an_object_that_vanished_is_restored_to_the_letter(scene: Scene) -> None:
    await scene.add_all(3)
    async with supervising(scene) as office:
        ring = await scene.settled(THREE)
        await office.until(lambda: all(m.ring == ring for m in scene.members.values()))
        scene.topology.delete()
        assert await scene.settled(THREE) == ring
        await office.said("exactly that is restored")


async def test_a_new_supervisor_restores_only_when_all_have_answered(scene: Scene) -> None:
    await scene.add_all(3)
    async with supervising(scene) as office:
        ring = await scene.settled(THREE)
        await office.until(lambda: all(m.ring == ring for m in scene.members.values()))
    scene.topology.delete()
    member = scene.members["storage-1"]
    port = int(member.address.rpartition(":")[2])
    await member.stop()
    async with supervising(scene) as office:
        await office.said("missing: storage-1 (disk-of-storage-1)")
        assert await scene.ring() is None
        await member.start(port)
        assert await scene.settled(THREE) == ring
    found = await scene.topology.read()
    assert found is not None
    assert found.encoded == encode(ring)


async def test_many_silent_members_freeze_every_change(scene: Scene) -> None:
    await scene.add_all(5)
    five = [f"storage-{i}" for i in range(5)]
    async with supervising(scene) as office:
        ring = await scene.settled(five)
        for name in five[:2]:
            scene.members[name].suspect(*(f"disk-of-{other}" for other in five[2:]))
        for name in five[2:]:
            await scene.members[name].stop()
        await office.said("ring changes are frozen: ")
        await scene.add("storage-5")
        await office.until(lambda: len(office.cycle.snapshot().connected) == 3)
        assert office.cycle.decision.judgement.is_frozen
        assert await scene.ring() == ring
        for name in five[:2]:
            scene.members[name].suspect()
        for name in five[2:]:
            port = int(scene.members[name].address.rpartition(":")[2])
            await scene.members[name].start(port)
        await office.said("ring changes are released")
        await scene.settled([*five, "storage-5"])


async def test_a_process_of_another_cluster_is_left_alone(scene: Scene) -> None:
    await scene.add_all(3)
    async with supervising(scene) as office:
        ring = await scene.settled(THREE)
        stranger = await scene.add("storage-3", ring=replace(ring, cluster="other"))
        await office.said("storage-3 belongs to cluster other")
        assert stranger.offers == []
        assert await scene.ring() == ring


async def test_two_supervisors_do_no_harm(scene: Scene) -> None:
    await scene.add_all(3)
    async with supervising(scene) as one, supervising(scene) as two:
        await scene.settled(THREE)
        await scene.add("storage-3")
        ring = await scene.settled(FOUR)
        assert {len(held) for held in ring.partitions_by_disk.values()} == {12}
        await one.until(lambda: one.cycle.writer.confirmed == ring)
        await two.until(lambda: two.cycle.writer.confirmed == ring)


async def test_certificates_reach_the_ring_many_in_one_write(scene: Scene) -> None:
    await scene.add_all(3)
    async with supervising(scene, gather_ms=20):
        first = await scene.settled(THREE)
        await scene.add("storage-3")
        began = asyncio.get_running_loop().time()
        ring = await scene.settled(FOUR)
        assert asyncio.get_running_loop().time() - began < 5
    # One write for the join; 16 partitions, at most 8 copies of the newcomer at a time.
    assert ring.version - first.version <= 12


async def test_a_name_that_has_moved_is_followed_though_its_old_process_still_talks(
    scene: Scene,
) -> None:
    await scene.add_all(3)
    async with supervising(scene) as office:
        await scene.settled(THREE)
        old = scene.members["storage-1"]
        # The pod before runs on for a while beside the one that has its name now.
        new = await scene.add("storage-1", disk=old.disk, ring=old.ring)
        new.incarnation = 2

        def seen_at() -> set[tuple[str, int]]:
            reports = office.cycle.snapshot().seen
            return {(s.address, s.incarnation) for s in reports if s.name == "storage-1"}

        await office.until(lambda: seen_at() == {(new.address, 2)})
        await old.stop()


async def test_a_disk_that_does_not_read_is_given_up_when_the_others_hold_all_of_it(
    scene: Scene,
) -> None:
    await scene.add_all(4)
    async with supervising(scene) as office:
        ring = await scene.settled(FOUR)
        hurt, silent = scene.members["storage-1"], scene.members["storage-3"]
        for member in scene.members.values():
            if member is not silent:
                member.suspect(silent.disk)
        hurt.unreadable = "Corruption: table 7"
        hurt.wake()
        await office.said("storage-1: files of its disk do not read (Corruption: table 7)")
        assert hurt.given_up == []
        for member in scene.members.values():
            member.suspect()
        await office.until(lambda: bool(hurt.given_up))
        await office.said("it is given up for an empty one, as the others hold all of it")
        assert set(hurt.given_up) == {(ring.cluster, hurt.disk)}
        assert all(m.given_up == [] for m in scene.members.values() if m is not hurt)
