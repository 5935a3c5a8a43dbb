"""The build container: finding an engine and images, copying in, running, copying out, always removing.

Only this folder imports docker. Nothing here knows what is built: commands, files and limits are its words.
"""
