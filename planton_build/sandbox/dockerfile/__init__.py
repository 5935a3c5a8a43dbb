"""Images from Dockerfiles: the context, the images that it names, the build on an engine, the export.

`context` and `from_lines` say what a build depends on without an engine; `build` needs one.
"""
