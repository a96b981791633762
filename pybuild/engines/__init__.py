"""Where a build environment runs."""
