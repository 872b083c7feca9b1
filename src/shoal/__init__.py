"""Shoal: one peer-to-peer node for Python.

The public names are loaded when they are first asked for (PEP 562), so that
`import shoal` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.config import Config as Config
    from shoal.errors import ShoalError as ShoalError
    from shoal.net.certificates import Certificates as Certificates
    from shoal.node import Node as Node
    from shoal.peer.id import PeerId as PeerId
    from shoal.peer.key import Key as Key
    from shoal.peer.multiaddr import Multiaddr as Multiaddr
    from shoal.rpc.client import RpcClient as RpcClient
    from shoal.rpc.grape_server import GrapeServer as GrapeServer
    from shoal.rpc.link import Link as Link
    from shoal.rpc.server import RpcServer as RpcServer

__version__ = "0.1.0"

_HOMES = {  # public name -> the module that holds it
    "Certificates": "shoal.net.certificates",
    "Config": "shoal.config",
    "GrapeServer": "shoal.rpc.grape_server",
    "Key": "shoal.peer.key",
    "Link": "shoal.rpc.link",
    "Multiaddr": "shoal.peer.multiaddr",
    "Node": "shoal.node",
    "PeerId": "shoal.peer.id",
    "RpcClient": "shoal.rpc.client",
    "RpcServer": "shoal.rpc.server",
    "ShoalError": "shoal.errors",
}
__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'shoal' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
