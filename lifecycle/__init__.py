"""The Cloud Native Buildpacks lifecycle: one module a phase, in running order.

    analyze   previous image, run image         -> analyzed.toml
    detect    application, order                -> group.toml, plan.toml   (in the build environment)
    generate  group                             -> Dockerfiles of image extensions, recipes   (in the build environment)
    restore   cache, previous image             -> the layers directory
    extend    Dockerfiles or a recipe, images   -> the extended build image or run image
    build     group, plan                       -> layers, config/metadata.toml   (in the build environment)
    export    layers, run image                 -> the image, in every sink asked for
    cache     layers that outlive the build     -> the application's cache
    rebase    an app image, another run image   -> the app image on that run image, without a build

`cnb/` is the contract (files, environment rules, the kit a buildpack is written with), `oci/` the image values, `registry/`
and `daemon/` the ways to registries and Docker engines, `images/` what a program has its images from, `exporters/` the sinks,
`execution/` what executes Dockerfiles. The phases that run other people's code (detect, generate, build) get everything through
files, so that they can run in another process, container or machine: see `commands`. Specification: https://github.com/buildpacks/spec
"""

__version__ = "0.1.0"
