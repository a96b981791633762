"""OCI image values and the files they live in."""
