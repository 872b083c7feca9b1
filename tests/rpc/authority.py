"""An authority that signs certificates for 127.0.0.1, as files."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shoal.net.certificates import Certificates


class Authority:
    """Certificates of one authority, in one folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = named(name)
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self._sign(self._name, self._key.public_key(), authority=True))

    def issue(self, name: str) -> Certificates:
        key = ec.generate_private_key(ec.SECP256R1())
        (self.folder / f"{name}-key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        path = self.folder / f"{name}.pem"
        path.write_bytes(self._sign(named(name), key.public_key()))
        return Certificates(str(self.folder / f"{name}-key.pem"), str(path), str(self.path))

    def _sign(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, *, authority: bool = False
    ) -> bytes:
        here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([here]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def fingerprint(path: str, kind: type[hashes.HashAlgorithm] = hashes.SHA1) -> str:
    """As Node.js writes it."""
    certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
    return certificate.fingerprint(kind()).hex(":").upper()
