"""Buildpackages: a buildpack, with those that it is made of, as an image or a `.cnb` file
(https://github.com/buildpacks/spec/blob/main/distribution.md).
"""

from pybuild.buildpackage.way import PackageReport, PackageRequest, package_buildpack

__all__ = ["PackageReport", "PackageRequest", "package_buildpack"]
