"""The certificate authorities and server certificates of a run, made with openssl.

Made once and kept in build/peers/certificates; a bench gets a copy. By name:

    ecdsa        P-256: root, intermediate, server      expired      of the ecdsa chain, ended in 2020
    rsa          RSA-2048: root, intermediate, server   early        of the ecdsa chain, begins in 2090
    p384         P-384: root, server                    wrong-name   of the ecdsa chain, for other.example.test
    wildcard     ecdsa chain, *.example.test            unknown      P-256 of a root that nobody trusts
    self         self-signed, given as its own CA       not-a-ca     issued by a server's certificate
    lookalike    ecdsa chain, the name only in CN of a certificate whose SAN says another
"""
import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from .bench import BUILD, HOST, PeerError

_CONFIG = """
[ca]
default_ca = this
[this]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
unique_subject = no
email_in_dn = no
[any]
commonName = supplied
organizationName = optional
[req]
distinguished_name = name
prompt = no
[name]
CN = unused
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[intermediate]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {san}
[self]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = {san}
"""

_KEYS = {
    "p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
}

_NOW = ("20240101000000Z", "20490101000000Z")

# name: key, issuer (None: itself), section, common name, SAN, validity, extra chain
_MADE = [
    ("root-ecdsa", "p256", None, "root", "Tocsin test root P-256", None, _NOW),
    ("root-rsa", "rsa", None, "root", "Tocsin test root RSA", None, _NOW),
    ("root-p384", "p384", None, "root", "Tocsin test root P-384", None, _NOW),
    ("root-unknown", "p256", None, "root", "Nobody's root", None, _NOW),
    ("mid-ecdsa", "p256", "root-ecdsa", "intermediate", "Tocsin test issuer P-256", None, _NOW),
    ("mid-rsa", "rsa", "root-rsa", "intermediate", "Tocsin test issuer RSA", None, _NOW),
    ("ecdsa", "p256", "mid-ecdsa", "server", HOST, HOST, _NOW),
    ("rsa", "rsa", "mid-rsa", "server", HOST, HOST, _NOW),
    ("p384", "p384", "root-p384", "server", HOST, HOST, _NOW),
    ("wildcard", "p256", "mid-ecdsa", "server", "*.example.test", "*.example.test", _NOW),
    ("self", "p256", None, "self", HOST, HOST, _NOW),
    ("expired", "p256", "mid-ecdsa", "server", HOST, HOST, ("20190101000000Z", "20200101000000Z")),
    ("early", "p256", "mid-ecdsa", "server", HOST, HOST, ("20900101000000Z", "20910101000000Z")),
    ("wrong-name", "p256", "mid-ecdsa", "server", "other.example.test", "other.example.test", _NOW),
    ("lookalike", "p256", "mid-ecdsa", "server", HOST, "other.example.test", _NOW),
    ("unknown", "p256", "root-unknown", "server", HOST, HOST, _NOW),
    ("not-a-ca", "p256", "ecdsa", "server", HOST, HOST, _NOW),
]

# Which CA a person would give for a server certificate, where it is not the first part of its chain's end.
_ROOTS = {"rsa": "root-rsa", "p384": "root-p384", "self": "self"}

SERVERS = [name for name, *_ in _MADE if not name.startswith(("root-", "mid-"))]


def _openssl(*arguments):
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise PeerError(f"openssl {arguments[0]} failed:\n{done.stderr}")


def _make(folder, name, key, issuer, section, common_name, san, validity):
    config = folder / f"{name}.cnf"
    config.write_text(_CONFIG.format(folder=folder, san=f"DNS:{san or HOST}"))
    key_file, request, certificate = (folder / f"{name}.{end}" for end in ("key", "csr", "crt"))
    _openssl("genpkey", *_KEYS[key], "-out", str(key_file))
    _openssl("req", "-new", "-config", str(config), "-key", str(key_file), "-subj", f"/CN={common_name}",
             "-out", str(request))
    signer = ["-selfsign", "-keyfile", str(key_file)]
    if issuer is not None:
        signer = ["-cert", str(folder / f"{issuer}.crt"), "-keyfile", str(folder / f"{issuer}.key")]
    _openssl("ca", "-batch", "-notext", "-config", str(config), *signer, "-in", str(request), "-out",
             str(certificate), "-startdate", validity[0], "-enddate", validity[1], "-extensions", section)
    chain = certificate.read_text()
    while issuer is not None and not issuer.startswith("root-"):
        chain += (folder / f"{issuer}.crt").read_text()
        issuer = next(made[2] for made in _MADE if made[0] == issuer)
    (folder / f"{name}.pem").write_text(chain)


def _cached():
    """The folder of all certificates, made when it is missing or older than this file."""
    ready = BUILD / "certificates"
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / "certificates.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = ready / "stamp"
        if stamp.exists() and stamp.stat().st_mtime >= Path(__file__).stat().st_mtime:
            return ready
        fresh = BUILD / "certificates.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        (fresh / "index.txt").touch()
        (fresh / "serial").write_text("1000\n")
        for made in _MADE:
            _make(fresh, *made)
        (fresh / "stamp").touch()
        shutil.rmtree(ready, ignore_errors=True)
        fresh.rename(ready)
    return ready


class Certificates:
    """chain(name), key(name): a server's files; root(name): the CA that a device must be given for it."""

    def __init__(self, bench):
        source = _cached()
        self.folder = bench.private("certificates", 0o755)
        for name in [made[0] for made in _MADE]:
            for end in ("crt", "pem", "key"):
                copy = self.folder / f"{name}.{end}"
                shutil.copyfile(source / f"{name}.{end}", copy)
                copy.chmod(0o600 if end == "key" else 0o644)
                if bench.root_user:
                    os.chown(copy, bench.uid, bench.gid)

    def chain(self, name):
        return self.folder / f"{name}.pem"

    def key(self, name):
        return self.folder / f"{name}.key"

    def root(self, name="ecdsa"):
        return self.folder / f"{_ROOTS.get(name, 'root-ecdsa')}.crt"
