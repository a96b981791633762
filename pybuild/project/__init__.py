"""project.toml: what a repository says of its own build
(https://github.com/buildpacks/spec/blob/main/extensions/project-descriptor.md).
"""
