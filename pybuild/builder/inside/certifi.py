"""Stands in for the library `certifi` in the programs of the lifecycle: the certificates are those of the build image."""


def where() -> str:
    """Return the file with the certificates that the image trusts."""
    return "/etc/ssl/certs/ca-certificates.crt"
