"""A certificate authority for one control plane, made by the openssl command line (3.0 or newer)."""

import subprocess
from pathlib import Path

DAYS = "2"  # longer than any test run


def make_authority(folder: Path) -> None:
    """Write ca.key, ca.crt and the key that signs service account tokens, sa.key and sa.pub."""
    _make(folder, "ca", "/CN=tunewright-test-ca", "-addext", "keyUsage=critical,keyCertSign,digitalSignature")
    _openssl(folder, "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "sa.key")
    _openssl(folder, "pkey", "-in", "sa.key", "-pubout", "-out", "sa.pub")


def make_server(folder: Path, name: str, alternatives: str) -> None:
    """Write a server's key and certificate; alternatives as in `IP:127.0.0.1,DNS:localhost`."""
    _make(folder, name, f"/CN={name}", *_BY_CA, "-addext", "extendedKeyUsage=serverAuth", "-addext", f"subjectAltName={alternatives}")


def make_client(folder: Path, name: str, *, user: str, groups: tuple[str, ...] = ()) -> None:
    """Write a client's key and certificate: for Kubernetes the common name is the user, organisations are groups."""
    subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
    _make(folder, name, subject, *_BY_CA, "-addext", "extendedKeyUsage=clientAuth")


_BY_CA = ("-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE")


def _make(folder: Path, name: str, subject: str, *more: str) -> None:
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", f"{name}.key")
    _openssl(folder, "req", "-x509", *new_key, "-out", f"{name}.crt", "-days", DAYS, "-subj", subject, *more)


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
