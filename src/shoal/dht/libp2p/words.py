"""How the DHT service says things in libp2p's DHT: where to walk, what to hand over."""

from typing import Any

from shoal.dht.libp2p.core import Value
from shoal.dht.libp2p.validators import Validators
from shoal.dht.questions import Answer, Verb

PROVIDE_EVERY = 22 * 3600.0  # seconds: others forget us after 48 hours (go's choice)
PUT_EVERY = 22 * 3600.0  # seconds: and values too


class Words:
    """No tokens: a connection proves who speaks, and a value proves itself."""

    name = "libp2p"
    provide_walk = Verb.GET_PROVIDERS  # its key may be any multihash, unlike that of find node
    put_walk = Verb.GET_VALUE
    provide_every = PROVIDE_EVERY
    put_every = PUT_EVERY

    def __init__(self, validators: Validators) -> None:
        self._validators = validators

    def providing(self, answer: Answer, what: Any) -> bool:
        """Who we are and where, the question itself says."""
        return True

    def storing(self, answer: Answer, what: Value) -> Value:
        return what

    def better(self, one: Value, other: Value) -> bool:
        return self._validators.better(one.key, one.value, other.value)
