"""Registries: who may ask, how to ask, and images from there (https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md).

`pull` is what callers use, with a `RegistryClient` of `client`; that one speaks through `http`, after `authorization` has found out what
the registry wants to see, with what `credentials` has found on the machine.
"""
