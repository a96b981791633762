"""Images of a Docker engine: put into it and taken out of it by its API (https://docs.docker.com/reference/api/engine/).

`open_engine` is what callers use; it speaks through Docker's own library, which reads `DOCKER_HOST`, contexts and certificates as the
docker command does.
"""
