"""The programs in `/cnb/lifecycle`: one module each, thin doors to the phases.

A module has `FLAGS`, what its command line and its environment may say, and `run`, which does the work and raises what is wrong.
Modules are imported when their program is started: `detector` has no use for what `exporter` talks to registries with.
"""
