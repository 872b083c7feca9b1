"""HTTP and WebSocket as a client, on aiohttp.

aiohttp opens sockets of its own, which a simulated loop does not have; the
connector here asks the loop for connections instead, so that the same client
runs in both worlds.  It overrides one private method of aiohttp 3.14, hence the
narrow pin in pyproject.toml and the tests of both.

aiohttp takes 200 ms to load: it is imported when a client is first made.
"""

import ssl
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from shoal.errors import ClosedError, LimitError, ProtocolError, UnreachableError

if TYPE_CHECKING:
    from aiohttp import ClientSession, ClientWebSocketResponse

CONNECTIONS_MAX = 500  # of one client, all hosts together
PER_HOST_MAX = 100  # connections to one host and port
BODY_MAX = 4 << 20  # bytes of an answer, unless the caller says otherwise
REDIRECTS_MAX = 5  # of a GET; a POST is not sent elsewhere
IDLE = 60.0  # seconds that an unused connection is kept
CHUNK = 1 << 16  # bytes read at a time


class Web:
    """One client: `await web.get(url)`; close it with `aclose`.

    Failures before a request was sent are UnreachableError, later ones
    ClosedError: the request may have been carried out.  Timeouts are the
    caller's.
    """

    def __init__(self, *, tls: ssl.SSLContext | bool = True) -> None:
        self._tls = tls
        self._session: ClientSession | None = None

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, url: str, *, limit: int = BODY_MAX) -> tuple[int, bytes]:
        """Status and body."""
        return await self.request("GET", url, limit=limit)

    async def post(
        self,
        url: str,
        body: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        limit: int = BODY_MAX,
    ) -> tuple[int, bytes]:
        return await self.request("POST", url, body=body, headers=headers, limit=limit)

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        limit: int = BODY_MAX,
    ) -> tuple[int, bytes]:
        """Status and body; LimitError when the body is longer than `limit` bytes."""
        import aiohttp
        from yarl import URL

        session = self._open()
        try:
            async with session.request(
                method,
                URL(url, encoded=True),  # what is escaped already is not escaped again
                data=body,
                headers=headers,
                allow_redirects=method == "GET",
                max_redirects=REDIRECTS_MAX,
            ) as response:
                parts = []
                size = 0
                async for part in response.content.iter_chunked(CHUNK):
                    size += len(part)
                    if size > limit:
                        response.close()
                        raise LimitError(f"{url} answers with over {limit} bytes")
                    parts.append(part)
                return response.status, b"".join(parts)
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            raise UnreachableError(f"{error}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ClosedError(f"{type(error).__name__}: {error}") from error

    async def socket(
        self, url: str, *, limit: int, headers: Mapping[str, str] | None = None
    ) -> "ClientWebSocketResponse":
        """A WebSocket whose messages have at most `limit` bytes.

        UnreachableError when nobody listens, ProtocolError when who does speaks
        no WebSocket.
        """
        import aiohttp

        try:
            return await self._open().ws_connect(
                url, max_msg_size=limit, compress=0, autoping=True, headers=headers
            )
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            raise UnreachableError(f"{error}") from error
        except aiohttp.ClientResponseError as error:
            raise ProtocolError(f"{url} speaks no WebSocket: {error.message}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(f"{type(error).__name__}: {error}") from error

    def _open(self) -> "ClientSession":
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=connector_class()(
                    limit=CONNECTIONS_MAX,
                    limit_per_host=PER_HOST_MAX,
                    keepalive_timeout=IDLE,
                    ssl=self._tls,
                    use_dns_cache=False,
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                auto_decompress=True,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


@cache
def connector_class() -> Any:
    """An aiohttp connector that opens its connections through the running loop."""
    import aiohttp

    class LoopConnector(aiohttp.TCPConnector):
        """Tries the addresses in their order, each with `loop.create_connection`."""

        async def _wrap_create_connection(self, *args: Any, addr_infos: Any, **kwargs: Any) -> Any:
            failure: aiohttp.ClientConnectorError | None = None
            for _, _, _, _, address in addr_infos:
                kwargs |= {"host": address[0], "port": address[1]}
                try:
                    return await self._wrap_existing_connection(*args, **kwargs)
                except aiohttp.ClientConnectorError as error:
                    failure = error
            raise failure or OSError("the name has no address")

    return LoopConnector
