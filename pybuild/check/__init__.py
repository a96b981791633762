"""Whether an image has what a profile asks for, found out by running it in a sandbox."""

from pybuild.check.errors import ProfileNotMet, UnknownProfile
from pybuild.check.image import CheckRequest, check_image, require_profile
from pybuild.check.profile import BUILT_IN_PROFILES, Profile, UserKind
from pybuild.check.report import CheckReport, Finding, Verdict, describe_report

__all__ = [
    "BUILT_IN_PROFILES",
    "CheckReport",
    "CheckRequest",
    "Finding",
    "Profile",
    "ProfileNotMet",
    "UnknownProfile",
    "UserKind",
    "Verdict",
    "check_image",
    "describe_report",
    "require_profile",
]
