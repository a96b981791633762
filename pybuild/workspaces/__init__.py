"""Workspaces: where a team keeps its environments, as artifacts in a registry or in OCI layouts; no database is needed.

`workspace` is what callers use. What is kept of an environment is in one repository, whose tags (`tags`) say everything that has to be
known of all versions at once; `numbering` gives versions, also where several machines ask at the same time.
"""
