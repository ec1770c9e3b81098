"""Mutants of leases, reads, digests and the disk's sync (PROTOCOL R16, R22-R25, R33, R34, R8)."""

from __future__ import annotations

from tests.simulation.mutation import Mutant, core, shell

_CHECKED = "if self.config.quorum(reading.acks):"
_LEASED = "leased = self.config.quorum(votes)"
_SERVE = "if self.leased():\n            self.stands()"
_DRAIN = "        self.consider_drained(seat)\n\n    def consider_drained"
_RELEASE_FIRST = (
    "        ctx = self._ctx\n"
    "        ctx.replica.release(seat.part, coordinator.epoch)\n"
    "        for disk in coordinator.config.members:\n"
    "            if disk != ctx.disk:\n"
    "                ctx.send(disk, Release(seat.part.number, coordinator.epoch))\n"
)
_HAND_OVER_FIRST = (
    "        if successor != ctx.disk and seat.next_config is None:\n"
    "            ctx.send(successor, HandOver(\n"
    "                seat.part.number, coordinator.gen, coordinator.epoch, coordinator.config))\n"
)

LEASES = (
    Mutant(
        "check-old-only",
        "R16",
        "a read is checked by a majority of old only",
        (core("coordinator", _CHECKED, _CHECKED.replace("quorum", "old_majority")),),
        schedule="two_coordinators_in_a_change",
    ),
    Mutant(
        "lease-old-only",
        "R23",
        "a lease is granted by a majority of old only",
        (core("coordinator", _LEASED, _LEASED.replace("quorum", "old_majority")),),
        schedule="leased_by_old_alone",
    ),
    Mutant(
        "prepare-in-lease",
        "R22",
        "Prepare is granted during another's live lease",
        (
            core(
                "replica",
                "return self.pairs[promised.disk].blocks_us(promised, self.now_us)",
                "return 0",
            ),
        ),
    ),
    Mutant(
        "no-quarantine",
        "R22",
        "Prepare is granted right after a restart",
        (core("replica", "if quarantine > 0:", "if False:"),),
        schedule="everybody_restarts",
    ),
    Mutant(
        "no-drift",
        "R23",
        "a lease ignores that clocks run at different rates",
        (core("settings", "int(self.lease_us * (1 - rho) / (1 + rho))", "self.lease_us - 1"),),
        schedule="clocks_apart",
    ),
    Mutant(
        "lease-from-reply",
        "R23",
        "a lease is counted from the reply, not from the request",
        (
            core(
                "claims",
                "pair.note_granted(sent, reply.except_)",
                "pair.note_granted(sent._replace(lease_until_us="
                "self._ctx.settings.lease_until(self._ctx.now_us)), reply.except_)",
            ),
        ),
        schedule="slow_reply",
    ),
    Mutant(
        "lease-before",
        "R23",
        "the lease is tested when a read arrives, its value is taken later",
        (
            core(
                "keys",
                "state.reads.append(attempt)",
                "state.reads.append(attempt)\n"
                "            if self._c.leased():\n"
                "                self._c.leased_reads.add(attempt.id)",
            ),
            core(
                "coordinator",
                "self.draining = False\n",
                "self.draining = False\n        self.leased_reads: set[int] = set()\n",
            ),
            core(
                "coordinator",
                _SERVE,
                "if self.leased() or attempt.id in self.leased_reads:\n            self.stands()",
            ),
        ),
        harmless=True,
    ),
    Mutant(
        "lease-cached",
        "R23",
        "whether the lease holds is remembered from the last timer tick",
        (
            core(
                "coordinator",
                "self.draining = False\n",
                "self.draining = False\n        self.lease_holds = False\n",
            ),
            core(
                "coordinator",
                "if self.is_resting:\n",
                "self.lease_holds = self.leased()\n        if self.is_resting:\n",
            ),
            core("coordinator", _SERVE, "if self.lease_holds:\n            self.stands()"),
        ),
        schedule="woken_coordinator",
    ),
    Mutant(
        "lease-cleared-on-adopt",
        "R3",
        "adopting a config forgets the leases that were granted",
        (
            core(
                "replica",
                "self._watcher.on_adopted(part)",
                "for pair in self.pairs.values():\n"
                "            pair.lease_until_us = -(10**15)\n"
                "        self._watcher.on_adopted(part)",
            ),
        ),
        schedule="adopted_in_a_lease",
    ),
    Mutant(
        "release-in-flight",
        "R24",
        "Release and HandOver are sent while earlier reads are open",
        (core("reigns", _DRAIN, _RELEASE_FIRST + _HAND_OVER_FIRST + _DRAIN),),
        harmless=True,
    ),
    Mutant(
        "release-drain",
        "R24",
        "reads that arrive after Release are still served",
        (
            core("reigns", _DRAIN, _RELEASE_FIRST + _HAND_OVER_FIRST + _DRAIN),
            core(
                "reigns",
                "if not coordinator.is_quiet() and ctx.now_us < seat.drain_until_us:",
                "if ctx.now_us < seat.drain_until_us:",
            ),
            core(
                "member",
                "elif seat.role is Role.COORDINATING:\n            assert seat.coordinator is not "
                "None\n            seat.coordinator.keys.submit",
                "elif seat.role is Role.COORDINATING or (\n"
                "            seat.role is Role.DRAINING and attempt.is_read\n"
                "        ):\n            assert seat.coordinator is not "
                "None\n            seat.coordinator.keys.submit",
            ),
        ),
        schedule="read_while_handing_over",
    ),
)

READS = (
    Mutant(
        "no-check",
        "R16",
        "a read without a lease is answered without asking anybody",
        (core("coordinator", _SERVE, "if True:\n            self.stands()"),),
    ),
    Mutant(
        "dirty-read",
        "R16",
        "a read returns the cell that is being written",
        (
            core(
                "keys",
                "result = registers.read(state.cell)",
                "own = self._ctx.store.get(self._c.part.number, state.key)\n"
                "            result = registers.read(own)",
            ),
            core(
                "coordinator",
                "found = registers.read(state.cell)",
                "found = registers.read(self.ctx.store.get(self.part.number, key))",
            ),
        ),
    ),
    Mutant(
        "read-unfresh",
        "R15",
        "a read that is answered at once takes what is known of a key that must be touched again",
        (
            core(
                "coordinator",
                "if not state.fresh:\n                return None\n            found",
                "found",
            ),
        ),
    ),
    Mutant(
        "read-untouched",
        "R13",
        "a read that is answered at once takes this member's cell of a key that was never touched",
        (
            core(
                "coordinator",
                "if not self.levelling.is_settled(key):\n                return None",
                "pass",
            ),
        ),
        schedule="untouched_in_a_lease",
    ),
    Mutant(
        "lease-outlived",
        "R23",
        "leases that hold once are taken to hold until a peer says something else",
        (core("coordinator", "now < self._leased_until_us and replica", "replica"),),
    ),
    Mutant(
        "follower-read",
        "-",
        "a member that does not coordinate answers when two replicas show equal versions",
        (
            shell("clients", "if self._rng.random() < 0.04:", "if self._rng.random() < 0.3:"),
            shell(
                "clients",
                "",
                """
def _read_from_two(self, at, times):
    partition, key = at
    shown = []
    members = self.cluster.topology.configs[partition].members
    for disk in self._rng.sample(members, min(2, len(members))):
        process = self.cluster.process_of(disk)
        if process is None or process.member is None or process.disk.unsynced:
            return
        part = process.member.replica.parts.get(partition)
        if part is None or part.record.since is None:
            return
        try:
            shown.append(process.disk.get(partition, key))
        except Exception:
            return
    if len(shown) == 2 and (shown[0] and shown[0].ver) == (shown[1] and shown[1].ver):
        from becket.core.replication import registers
        now = self.world.now_us
        operations = (Operation(Kind.GET),)
        entry = Entry(self.name, key, operations, now, now, (registers.read(shown[0]),))
        self.cluster.history.entries.append(entry)


Client._read_relaxed = _read_from_two
""",
            ),
        ),
    ),
    Mutant(
        "expose-ver",
        "words",
        "clients are shown ver instead of mod, and compare it",
        (
            core(
                "cells",
                "return Result(Verdict.DONE, self.mod, self.value, self.expire_ms)",
                "return Result(Verdict.DONE, self.ver, self.value, self.expire_ms)",
            ),
            core(
                "registers", "cell.mod == operation.if_version", "cell.ver == operation.if_version"
            ),
            core(
                "registers",
                "found = cell.mod if cell is not None and present else None",
                "found = cell.ver if cell is not None and present else None",
            ),
        ),
    ),
    Mutant(
        "hide-by-clock",
        "R33",
        "an expired cell is hidden without a tombstone",
        (
            core(
                "keys",
                "if registers.is_expired(state.cell, self._ctx.wall_ms):\n            if not any",
                "if False:\n            if not any",
            ),
            core(
                "keys",
                "result = registers.read(state.cell)",
                "hidden = registers.is_expired(state.cell, self._ctx.wall_ms)\n"
                "            result = registers.read(None if hidden else state.cell)",
            ),
        ),
        schedule="expired_on_one_clock",
    ),
    Mutant(
        "bounded-by-heartbeat",
        "R34",
        "a replica answers bounded reads because it heard the coordinator lately",
        (
            core(
                "member",
                "at_us = pair.bounded.get(part.number) if pair is not None else None",
                "at_us = pair.heard_us if pair and part.number in pair.matched else None",
            ),
        ),
    ),
)

STORED = (
    Mutant(
        "digest-without-self",
        "section 5",
        "a bucket is settled by equal digests of others",
        (
            core(
                "levelling",
                "own = roots.get(self._ctx.disk)",
                "shown = list(roots.values())\n"
                "        own = max((r for r in shown if r is not None), key=shown.count, "
                "default=None)",
            ),
            core(
                "levelling",
                "equal = {d for d, digests in compared.items() if digests[bucket] == own[bucket]}",
                "equal = max(({d for d, g in compared.items() if g[bucket] == x[bucket]} "
                "for x in compared.values()), key=len)",
            ),
            core("levelling", "and own_disk in equal and", "and"),
        ),
    ),
    Mutant(
        "digest-overrides-key",
        "section 5",
        "settling a bucket resets keys that were touched, written or given up",
        (
            core(
                "keys",
                "for state in [s for s in self._states.values() if s.fresh and s.is_idle]:",
                "for state in list(self._states.values()):",
            ),
            core(
                "keys",
                "if bucket_of(state.key, self._ctx.settings.buckets) in buckets:\n",
                "if not state.is_idle:\n"
                "                state.cell = self._ctx.store.get(self._c.part.number, state.key)\n"
                "                state.fresh = True\n"
                "            elif bucket_of(state.key, self._ctx.settings.buckets) in buckets:\n",
            ),
        ),
    ),
    Mutant(
        "reply-before-sync",
        "R8",
        "a reply leaves before what it shows is synced",
        (shell("processes", "if self._written == self._synced:", "if True:"),),
        schedule="acknowledged_before_the_sync",
    ),
    Mutant(
        "duplicate-ack-unsynced",
        "R8",
        "a reply that wrote nothing leaves although it shows unsynced writes",
        (shell("processes", "if self._written == self._synced:", "if not effects.writes:"),),
        schedule="acknowledged_before_the_sync",
    ),
)
