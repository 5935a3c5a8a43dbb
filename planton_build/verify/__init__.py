"""Seeing a built function run: its handler imported, and invoked, inside the runtime's own container.

What is built and how containers are run is decided below. Nothing here prints, builds or deploys.
"""
