"""What stands in for Lambda's /var/runtime: run by the function's interpreter, never imported by the tool.

These files speak every Python that awslambdaric speaks (3.10 and newer) and import the standard library only.
"""
