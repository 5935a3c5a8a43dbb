"""Checks on container images: would Lambda take this image, and would it run there?

`check_image` in `check` is the way in. Layers are read in a stream, once; what was seen is kept by digest.
"""
