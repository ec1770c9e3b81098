"""Every mutant of PROTOCOL section 6, by name."""

from __future__ import annotations

from tests.simulation.mutants_of_quorums import PURGE, RING, TAKE_OVER
from tests.simulation.mutants_of_reads import LEASES, READS, STORED
from tests.simulation.mutants_of_sessions import SESSIONS
from tests.simulation.mutation import Mutant

MUTANTS: dict[str, Mutant] = {
    mutant.name: mutant
    for group in (TAKE_OVER, RING, PURGE, LEASES, READS, STORED, SESSIONS)
    for mutant in group
}
