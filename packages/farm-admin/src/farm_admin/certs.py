"""A private authority for certificates, and certificates for servers and clients.

What is made is what `farm_common.TLSAuth` takes: a directory with ``cert.pem``, ``key.pem`` and
``ca.pem`` for each server and each client. The authority itself is a directory with ``ca.pem`` and
``ca-key.pem``; whoever has the latter can let anybody in, so it belongs on no server.

Needs the package cryptography: ``pip install 'farm-admin[certs]'``.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import ipaddress
import os
import re
import stat
from collections.abc import Mapping, Sequence
from typing import Any

from farm_common.errors import UnsupportedError

__all__ = ["AUTHORITY_DAYS", "DAYS", "make_authority", "make_client", "make_server"]

#: How long an authority and a certificate are valid unless another time is given.
AUTHORITY_DAYS = 3650
DAYS = 825

#: The machines' clocks need not agree.
_LENIENCE = dt.timedelta(hours=1)

#: RFC 5280, A.1: ub-common-name.
_LONGEST_NAME = 64

_HOST = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")


def make_authority(directory: str, name: str = "farm", days: float = AUTHORITY_DAYS) -> None:
    """Make an authority, which then signs certificates.

    Args:
        directory: Where its certificate and its key go; made if it is missing.
        name: What it calls itself.
        days: How long it lasts, and so whatever it signs.

    Raises:
        UnsupportedError: The package cryptography is missing.
        ValueError: The name will not do.
        OSError: There is one already, or the directory cannot be written to, or is open to others.
    """
    x509 = _x509()
    key = _new_key()
    subject = _called(_checked_name(name))
    builder = _builder(subject, subject, key.public_key(), days, None)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    certificate = _signed(builder, key)
    _write(directory, {"ca-key.pem": _key_pem(key), "ca.pem": _pem(certificate)})


def make_server(
    names: Sequence[str], directory: str, authority: str = "farm-ca", days: float = DAYS
) -> None:
    """Make a server's certificate.

    Args:
        names: The host names and IP addresses that clients connect to; the first is what it is
            called.
        directory: Where its files go; made if it is missing.
        authority: The directory that `make_authority` made.
        days: How long it lasts.

    Raises:
        UnsupportedError: The package cryptography is missing.
        ValueError: A name will not do.
        OSError: There is one already, a file cannot be read or written, or a directory is open to
            others.
    """
    x509 = _x509()
    if not names:
        raise ValueError("a server's certificate is for at least one host name or IP address")
    alternatives = [_alternative(name) for name in names]
    extension = x509.SubjectAlternativeName(alternatives)
    purpose = x509.oid.ExtendedKeyUsageOID.SERVER_AUTH
    _issue(names[0][:_LONGEST_NAME], purpose, [extension], directory, authority, days)


def make_client(name: str, directory: str, authority: str = "farm-ca", days: float = DAYS) -> None:
    """Make a client's certificate.

    Args:
        name: Whom it is for: what servers allow, log and show.
        directory: As for `make_server`, as everything else.
        authority: See there.
        days: See there.
    """
    purpose = _x509().oid.ExtendedKeyUsageOID.CLIENT_AUTH
    _issue(_checked_name(name), purpose, [], directory, authority, days)


def _issue(
    name: str,
    purpose: Any,
    extensions: Sequence[Any],
    directory: str,
    authority: str,
    days: float,
) -> None:
    x509 = _x509()
    issuer, issuer_key = _load_authority(authority)
    key = _new_key()
    builder = _builder(_called(name), issuer.subject, key.public_key(), days, issuer)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    files = {
        "key.pem": _key_pem(key),
        "cert.pem": _pem(_signed(builder, issuer_key)),
        "ca.pem": _pem(issuer),
    }
    _write(directory, files)


# certificates


def _x509() -> Any:
    try:
        from cryptography import x509
    except ImportError:
        raise UnsupportedError(
            "certificates are made with the package cryptography, which is not installed here: "
            "pip install 'farm-admin[certs]'"
        ) from None
    return x509


def _new_key() -> Any:
    _x509()
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _called(name: str) -> Any:
    x509 = _x509()
    return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])


def _builder(subject: Any, issuer: Any, public_key: Any, days: float, authority: Any) -> Any:
    x509 = _x509()
    now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    end = now + dt.timedelta(days=days)
    if authority is not None:
        end = min(end, authority.not_valid_after_utc)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    builder = builder.public_key(public_key).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(min(now, end) - _LENIENCE).not_valid_after(end)
    return builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False
    )


def _usage(*, signs_certificates: bool) -> Any:
    names = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    return _x509().KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
        **dict.fromkeys(names, False),
    )


def _signed(builder: Any, key: Any) -> Any:
    from cryptography.hazmat.primitives import hashes

    return builder.sign(key, hashes.SHA256())


def _pem(certificate: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    pem: bytes = certificate.public_bytes(Encoding.PEM)
    return pem


def _key_pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def _load_authority(directory: str) -> tuple[Any, Any]:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    contents = []
    for file in ("ca.pem", "ca-key.pem"):
        path = os.path.join(directory, file)
        try:
            with open(path, "rb") as opened:
                contents.append(opened.read())
        except FileNotFoundError:
            raise FileNotFoundError(
                errno.ENOENT,
                f"there is no authority in {directory} ({file} is missing): make one with "
                f"farm-admin certs init {directory}",
            ) from None
    try:
        certificate = _x509().load_pem_x509_certificate(contents[0])
        key = load_pem_private_key(contents[1], None)
    except (ValueError, TypeError) as error:
        raise ValueError(f"the authority in {directory} cannot be used: {error}") from None
    if certificate.public_key() != key.public_key():
        raise ValueError(f"ca.pem and ca-key.pem in {directory} do not belong together")
    return certificate, key


# names


def _checked_name(name: str) -> str:
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise ValueError(f"{name!r} is no name: give 1 to {_LONGEST_NAME} printable characters")
    return name


def _alternative(name: str) -> Any:
    x509 = _x509()
    try:
        return x509.IPAddress(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        pass
    if not _HOST.fullmatch(name):
        raise ValueError(f"{name!r} is neither a host name nor an IP address")
    return x509.DNSName(name)


# files


def _write(directory: str, contents: Mapping[str, bytes]) -> None:
    """Write new files, all of them or none, that only this user can read.

    Raises:
        OSError: One of them exists, or others can use the directory.
    """
    try:
        os.makedirs(os.path.dirname(os.path.abspath(directory)), exist_ok=True)
        os.mkdir(directory, 0o700)
        made = True
    except FileExistsError:
        made = False
    found = os.stat(directory)
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or found.st_uid != os.geteuid():
        raise PermissionError(
            errno.EPERM,
            f"{directory} is open to others, and keys belong where nobody else comes: "
            f"chmod 700 {directory}, or name another directory",
        )
    written = []
    try:
        for name, content in contents.items():
            path = os.path.join(directory, name)
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                raise FileExistsError(
                    errno.EEXIST,
                    f"{path} exists, and is not overwritten: name another directory, or move it "
                    "away first",
                ) from None
            written.append(path)
            with open(descriptor, "wb") as file:
                file.write(content)
    except BaseException:
        for path in written:
            os.unlink(path)
        if made:
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        raise
