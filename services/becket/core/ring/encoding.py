"""The ring as bytes: what the topology keeps and what travels in messages.

Owns the format. Must not judge a ring beyond handing it to ``validation``. Invariants: the same
ring gives the same bytes; what ``decode`` returns is valid; any other bytes give EncodingError.

Theory: ``magic, format version, body, crc32``. Numbers are varints (seven bits a byte, low bits
first), texts are a length and UTF-8. Members stand in a table and configs name them by place;
zones and nodes stand in a table of texts. A generation at which a member joined is written as its
distance to the config's own, and not at all for newcomers (R2 says what it is). So 1024 partitions
of three replicas take about 10 KiB, well under the 1 MiB that one Kubernetes object holds.

Every process reads each ring, and one differs from the last in a few partitions: what stands there
byte for byte as before is not read again.
"""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

from becket.core.errors import EncodingError, InvalidRingError
from becket.core.hashing import MAX_PARTITIONS
from becket.core.ring.config import Config, Disk
from becket.core.ring.members import MAX_NAME_BYTES, Member, MemberCount, MemberState
from becket.core.ring.ring import Ring
from becket.core.ring.validation import MAX_MEMBERS, MAX_NUMBER, MAX_REPLICAS, validate

MAGIC = b"BKTR"
"""The first bytes of an encoded ring."""

FORMAT = 1
"""The format version that is written, and the newest that is read."""

_CRC_BYTES = 4
_HEAD_BYTES = len(MAGIC) + 1
_JOINT_FLAG = 0x10
_STATES = {state.value: state for state in MemberState}


def encode(ring: Ring) -> bytes:
    """The bytes of a ring.

    :raises InvalidRingError: the ring is not valid; nothing invalid is ever written.
    """
    validate(ring)
    out = bytearray(MAGIC)
    out.append(FORMAT)
    count = ring.member_count
    for number in (ring.version, ring.leader_term, count.wished, count.chart, ring.replicas):
        _put(out, number)
    _put_text(out, ring.cluster)
    _put_members(out, ring.members)
    _put(out, ring.partitions)
    index = {member.disk: place for place, member in enumerate(ring.members)}
    for config in ring.configs:
        _put_config(out, config, index)
    return bytes(out) + crc32(out).to_bytes(_CRC_BYTES, "big")


def decode(data: bytes) -> Ring:
    """The ring that ``data`` holds, valid.

    :raises EncodingError: the bytes are damaged, cut short, of a newer format, or hold a ring
        that is not valid; ``field`` says where.
    """
    reader = _Reader(_checked(data))
    version, term = reader.number("version"), reader.number("leader_term")
    wished, chart = reader.number("member_count.wished"), reader.number("member_count.chart")
    replicas = reader.number("replicas")
    cluster = reader.text("cluster")
    members = _read_members(reader)
    disks = tuple(member.disk for member in members)
    partitions = reader.number("partitions", MAX_PARTITIONS)
    before = _MEMORY.last
    if before.disks != disks:
        before = _Read(disks, (), ())
    read = _read_configs(reader, partitions, before)
    reader.end()
    ring = Ring(version, cluster, replicas, members, read.configs, MemberCount(wished, chart), term)
    try:
        validate(ring, sound=before.configs)
    except InvalidRingError as error:
        raise EncodingError(error.field, error.problem) from error
    _MEMORY.last = read
    return ring


class _Read(NamedTuple):
    """Configs as they were read, valid among these disks, with the bytes of each."""

    disks: tuple[Disk, ...]
    spans: tuple[bytes, ...]
    configs: tuple[Config, ...]


_NOTHING = _Read((), (), ())


class _Memory:
    """The ring that was read last: the next one differs in a few partitions."""

    def __init__(self) -> None:
        # Taken and given as a whole, so that threads need no lock.
        self.last = _NOTHING


_MEMORY = _Memory()


def _read_configs(reader: _Reader, partitions: int, before: _Read) -> _Read:
    """A config's bytes say where they end, so what begins with the same bytes is the same."""
    spans, configs = [], []
    for partition in range(partitions):
        span = before.spans[partition] if partition < len(before.spans) else b""
        if span and reader.skips(span):
            config = before.configs[partition]
        else:
            start = reader.at
            config = _read_config(reader, f"configs[{partition}]", before.disks)
            span = reader.since(start)
        spans.append(span)
        configs.append(config)
    return _Read(before.disks, tuple(spans), tuple(configs))


def _checked(data: bytes) -> bytes:
    """The body of ``data``, once everything around it was found sound."""
    if data[: len(MAGIC)] != MAGIC:
        raise EncodingError("magic", f"these bytes are no ring: they do not start with {MAGIC!r}")
    if len(data) < _HEAD_BYTES + _CRC_BYTES:
        raise EncodingError("length", f"{len(data)} bytes are too few for a ring")
    # Before the checksum: a newer format may end otherwise, and deserves the better message.
    if data[len(MAGIC)] != FORMAT:
        problem = f"it is of format {data[len(MAGIC)]}; this version reads {FORMAT}"
        raise EncodingError("format", problem)
    if crc32(data[:-_CRC_BYTES]).to_bytes(_CRC_BYTES, "big") != data[-_CRC_BYTES:]:
        raise EncodingError("crc", "the checksum does not fit: the bytes are damaged")
    return data[_HEAD_BYTES:-_CRC_BYTES]


def _put(out: bytearray, number: int) -> None:
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _put_text(out: bytearray, text: str) -> None:
    data = text.encode()
    _put(out, len(data))
    out += data


def _put_members(out: bytearray, members: tuple[Member, ...]) -> None:
    texts = sorted({m.zone for m in members} | {m.node for m in members})
    place = {text: index for index, text in enumerate(texts)}
    _put(out, len(texts))
    for text in texts:
        _put_text(out, text)
    _put(out, len(members))
    for member in members:
        _put_text(out, member.disk)
        _put_text(out, member.name)
        for number in (place[member.zone], place[member.node], member.weight, member.state.value):
            _put(out, number)


def _put_config(out: bytearray, config: Config, index: dict[Disk, int]) -> None:
    out.append(len(config.old) | (_JOINT_FLAG if config.is_joint else 0))
    _put(out, config.gen)
    for disk in config.old:
        _put(out, index[disk])
    for disk in config.old:
        _put(out, config.gen - config.joined[disk])
    if config.new is not None:
        _put(out, len(config.new))
        for disk in config.new:
            _put(out, index[disk])


def _read_members(reader: _Reader) -> tuple[Member, ...]:
    count = reader.number("texts", 2 * MAX_MEMBERS)
    texts = [reader.text(f"texts[{i}]") for i in range(count)]
    members = []
    for i in range(reader.number("members", MAX_MEMBERS)):
        field = f"members[{i}]"
        disk, name = reader.text(f"{field}.disk"), reader.text(f"{field}.name")
        zone = texts[reader.number(f"{field}.zone", len(texts) - 1)]
        node = texts[reader.number(f"{field}.node", len(texts) - 1)]
        weight = reader.number(f"{field}.weight")
        state = _STATES[reader.number(f"{field}.state", len(_STATES) - 1)]
        members.append(Member(disk, name, zone, node, weight, state))
    return tuple(members)


def _read_config(reader: _Reader, field: str, disks: tuple[Disk, ...]) -> Config:
    head = reader.number(f"{field}.old", MAX_REPLICAS | _JOINT_FLAG)
    gen = reader.number(f"{field}.gen")
    old = reader.disks(f"{field}.old", head & ~_JOINT_FLAG, disks)
    since = [(disk, gen - reader.number(f"{field}.since", gen)) for disk in old]
    new: tuple[Disk, ...] | None = None
    if head & _JOINT_FLAG:
        new = reader.disks(f"{field}.new", reader.number(f"{field}.new", MAX_REPLICAS), disks)
        since += [(disk, gen) for disk in new if disk not in old]
    return Config(gen, old, new, tuple(since))


class _Reader:
    """Takes numbers and texts off a body, refusing to run past its end."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def at(self) -> int:
        """Where the next thing begins."""
        return self._at

    def since(self, start: int) -> bytes:
        """What was taken off since then."""
        return self._body[start : self._at]

    def skips(self, expected: bytes) -> bool:
        """Whether these bytes are next; then they are taken off."""
        if not self._body.startswith(expected, self._at):
            return False
        self._at += len(expected)
        return True

    def number(self, field: str, most: int = MAX_NUMBER) -> int:
        """The next number, in ``0 .. most``."""
        result = shift = 0
        while True:
            if self._at >= len(self._body):
                raise EncodingError(field, "the bytes end before it")
            byte = self._body[self._at]
            self._at += 1
            result |= (byte & 0x7F) << shift
            shift += 7
            if result > most:
                raise EncodingError(field, f"the number is larger than {most}")
            if byte <= 0x7F:
                return result
            if shift > 63:
                raise EncodingError(field, "the number has more than 63 bits")

    def text(self, field: str) -> str:
        """The next text."""
        size = self.number(field, MAX_NAME_BYTES)
        data = self._body[self._at : self._at + size]
        if len(data) < size:
            raise EncodingError(field, "the bytes end within it")
        self._at += size
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise EncodingError(field, "it is not UTF-8 text") from None

    def disks(self, field: str, count: int, known: tuple[Disk, ...]) -> tuple[Disk, ...]:
        """The next ``count`` disks, each written as its place among the members."""
        return tuple(known[self.number(field, len(known) - 1)] for _ in range(count))

    def end(self) -> None:
        """Refuse bytes that nothing asked for."""
        left = len(self._body) - self._at
        if left:
            raise EncodingError("length", f"{left} bytes are left over")
