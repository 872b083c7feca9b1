"""Records: what travels after a Noise handshake.

A record is a length of two bytes and a ciphertext: at most 65,519 bytes and a
tag of 16.  The nonce counts the records of one direction.  Records are a
stream: what they carry may begin in one and end in another, so `seal` fills
each as far as it goes, and many small writes share one.

All bytes are copied once, into one buffer which holds the finished records,
and are encrypted there; decryption happens in the receive buffer itself.

libp2p/specs noise/README.md, "wire format"; the Noise specification, section
5.1 (nonces) and 12.3 (ChaChaPoly).
"""

from struct import Struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from shoal.errors import LimitError, ProtocolError

Bytes = bytes | bytearray | memoryview

LENGTH = Struct(">H")
COUNTER = Struct("<Q")
COUNTER_AT = 4  # a nonce is four zero bytes and the counter
NONCE_SIZE = 12
TAG = bytes(16)  # room for it
RECORD_MAX = 65_535
PLAIN_MAX = RECORD_MAX - len(TAG)
SMALL = 1024  # bytes of a record that is cheaper to copy twice than to cut views for
RECORDS_MAX = 2**64 - 1  # the last counter is reserved; nobody will live to see it

# glibc's malloc gives freed memory back to the system, and then every page that is needed again
# costs a fault: after a burst of writes these take more time than the copying.  A large block
# that is freed teaches it to keep up to twice as much (mallopt(3), M_MMAP_THRESHOLD).
bytearray(16 << 20)  # more than is under way at once; glibc learns from blocks up to 32 MiB


class Session:
    """A secure channel with one key in each direction."""

    overhead = LENGTH.size + len(TAG)  # bytes a record has beside its data

    def __init__(self, send_key: bytes, receive_key: bytes) -> None:
        cipher = ChaCha20Poly1305(send_key)
        self._encrypt_small = cipher.encrypt
        self._encrypt = cipher.encrypt_into
        self._decrypt = ChaCha20Poly1305(receive_key).decrypt_into
        self._sent = 0  # records
        self._received = 0
        self._nonce = bytearray(NONCE_SIZE)

    def open(self, view: memoryview) -> tuple[list[memoryview], int]:
        """Decrypt all whole records in place: the data, and how many bytes are used up."""
        plain = []
        at = 0
        end = len(view)
        nonce, decrypt = self._nonce, self._decrypt
        while end - at > 1:
            (size,) = LENGTH.unpack_from(view, at)
            if size < len(TAG):
                raise ProtocolError(f"record of {size} bytes")
            start = at + LENGTH.size
            if start + size > end:
                break
            at = start + size
            data = view[start : at - len(TAG)]
            COUNTER.pack_into(nonce, COUNTER_AT, self._received)
            self._received += 1
            try:
                decrypt(nonce, view[start:at], None, data)
            except InvalidTag:
                raise ProtocolError("record that was forged or damaged") from None
            if data:
                plain.append(data)
        return plain, at

    def seal(self, parts: list[Bytes]) -> list[Bytes]:
        """These bytes as records, all in one buffer."""
        size = sum(map(len, parts))
        if size <= SMALL and self._sent < RECORDS_MAX:
            COUNTER.pack_into(self._nonce, COUNTER_AT, self._sent)
            self._sent += 1
            record = self._encrypt_small(self._nonce, b"".join(parts), None)
            return [bytearray().join((LENGTH.pack(size + len(TAG)), record))]
        pieces, sizes = _fill(parts, size)
        if self._sent + len(sizes) > RECORDS_MAX:
            raise LimitError("this channel has used up its nonces")
        buffer = bytearray().join(pieces)
        view = memoryview(buffer)
        nonce, encrypt = self._nonce, self._encrypt
        at = 0
        for size in sizes:
            start = at + LENGTH.size
            at = start + size + len(TAG)
            COUNTER.pack_into(nonce, COUNTER_AT, self._sent)
            self._sent += 1
            encrypt(nonce, view[start : start + size], None, view[start:at])
        return [buffer]


def _fill(parts: list[Bytes], size: int) -> tuple[list[Bytes], list[int]]:
    """What the buffer is joined from, and how many bytes each record carries."""
    if size <= PLAIN_MAX:
        return [LENGTH.pack(size + len(TAG)), *parts, TAG], [size]
    pieces: list[Bytes] = []
    sizes: list[int] = []
    room = 0
    for part in parts:
        rest = part
        while rest:
            if not room:
                room = min(size, PLAIN_MAX)
                size -= room
                sizes.append(room)
                pieces.append(LENGTH.pack(room + len(TAG)))
            if len(rest) <= room:
                pieces.append(rest)
                room -= len(rest)
                rest = b""
            else:
                view = memoryview(rest)
                pieces.append(view[:room])
                rest = view[room:]
                room = 0
            if not room:
                pieces.append(TAG)
    return pieces, sizes
