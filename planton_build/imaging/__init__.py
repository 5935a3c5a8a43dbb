"""From a function to its image: the base and its lock, layers of members, Dockerfiles, images on disk.

Below the pipeline, above registries and the sandbox. Nothing in here pushes, or knows AWS.
"""
