"""An authority of the tests' own, and certificates that it signs, as a cluster's owner has them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROLES = ("scheduler", "worker", "client")


def authority(directory: Path) -> dict[str, str]:
    """Make an authority and a certificate for each role; gives what Dask is to be told of them."""
    directory.mkdir(mode=0o700)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("authority", ca_key, "authority", ca_key, authority=True)
    (directory / "ca.pem").write_bytes(ca)
    told = {
        "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true",
        "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(directory / "ca.pem"),
    }
    for role in ROLES:
        key = ec.generate_private_key(ec.SECP256R1())
        cert = _certificate(role, key, "authority", ca_key, authority=False)
        (directory / f"{role}.pem").write_bytes(cert)
        file = directory / f"{role}-key.pem"
        file.touch(mode=0o600)
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        name = f"DASK_DISTRIBUTED__COMM__TLS__{role.upper()}"
        told |= {f"{name}__CERT": str(directory / f"{role}.pem"), f"{name}__KEY": str(file)}
    return told


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    authority: bool,
) -> bytes:
    now = datetime.now(UTC)
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in (subject, issuer)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)
