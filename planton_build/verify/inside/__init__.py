"""Scripts that are copied into a runtime's container and run there by its own interpreter, Python 3.8 and up.

Standard library only. Nothing here is imported by this package: it is read as text.
"""
