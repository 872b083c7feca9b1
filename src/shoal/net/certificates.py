"""Who we are and whom we trust over TLS, where both sides show certificates.

The files are PEM.  A certificate among the authorities is trusted whoever
signed it, so peers may as well name each other's own ones there.
"""

import ssl
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of our key, our certificate (chain), and the certificates of those we trust."""

    key: str
    certificate: str
    authorities: str

    def server(self, *, required: bool = True) -> ssl.SSLContext:
        """For listening; unless it is `required`, a caller need not show a certificate."""
        context = self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        return context

    def client(self, *, check_host: bool = True) -> ssl.SSLContext:
        """For calling; addresses are mostly numbers, which few certificates name."""
        context = self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        context.check_hostname = check_host
        return context

    def _load(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        context.load_verify_locations(self.authorities)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context
