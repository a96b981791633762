"""Registries: who may ask, how to ask, images from there and to there (https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md).

`pull` and `push` are what callers use, with a `RegistryClient` of `client`; that one speaks through `http`, after `authorization` has found
out what the registry wants to see, with what `credentials` has found on the machine. `transfer` brings layers, `upload` sends blobs.
"""
