"""Container images as values and as files: documents, blobs, assembly, layouts and archives on disk.

No network and no container engine in here, and nothing that knows what a function is.
"""
