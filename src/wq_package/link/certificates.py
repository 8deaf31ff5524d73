"""Makes the certificate of a manager that was given none (shell module).

Self-signed: nobody vouches for it, peers know it by its fingerprint. It lives as long as the manager; its key is in a file
only for as long as it takes to read it.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib
import shutil
import ssl
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from wq_package.errors import QueueError
from wq_package.programs import run_program

_DAYS = 3650
_SECONDS = 30.0
_FORMATS = "hazmat.primitives.serialization"
_HINT = "install `openssl` or `wq-package[tls]`, give `tls` a context with a certificate, or listen without TLS (`tls=False`)"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its key, ready to serve with.

    Attributes:
        context: what to serve with.
        fingerprint: hex sha256 of the certificate, for those who connect.
    """

    context: ssl.SSLContext
    fingerprint: str


def make_certificate() -> Certificate:
    """Make a certificate of our own; takes some ten milliseconds.

    Raises:
        QueueError: there is no program to make it, or it fails.
    """
    with tempfile.TemporaryDirectory(prefix="wq-package-") as folder:  # which only its owner can enter
        key, certificate = Path(folder, "key.pem"), Path(folder, "certificate.pem")
        program = shutil.which("openssl")
        if program is not None:
            _run_openssl(program, Path(folder), key, certificate)
        elif not _use_cryptography(key, certificate):
            raise QueueError(
                "a certificate for TLS cannot be made: there is neither a program `openssl` nor the package `cryptography`",
                hint=_HINT,
            )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        binary = ssl.PEM_cert_to_DER_cert(certificate.read_text(encoding="ascii"))
    return Certificate(context, hashlib.sha256(binary).hexdigest())


def _use_cryptography(key: Path, certificate: Path) -> bool:
    """Make key and certificate with the package `cryptography`, if it is there."""
    try:
        x509, hashes, ec, formats = (
            importlib.import_module(f"cryptography.{name}")
            for name in ("x509", "hazmat.primitives.hashes", "hazmat.primitives.asymmetric.ec", _FORMATS)
        )
    except ImportError:
        return False
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "wq-package")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(1))
    signed = builder.not_valid_after(now + datetime.timedelta(_DAYS)).sign(private, hashes.SHA256())
    pem = formats.Encoding.PEM
    key.write_bytes(private.private_bytes(pem, formats.PrivateFormat.PKCS8, formats.NoEncryption()))
    certificate.write_bytes(signed.public_bytes(pem))
    return True


def _run_openssl(program: str, folder: Path, key: Path, certificate: Path) -> None:
    # Not the system's configuration: it may be missing, or ask for things.
    config = folder / "openssl.cnf"
    config.write_text("[req]\ndistinguished_name = name\n[name]\n", encoding="ascii")
    command = [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", str(_DAYS), "-subj", "/CN=wq-package"]
    command += ["-config", str(config)]
    try:
        done = run_program(command, seconds=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise QueueError(f"a certificate for TLS cannot be made: {error}", hint=_HINT) from error
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise QueueError(f"a certificate for TLS cannot be made: {words[-1]}", hint=_HINT)
