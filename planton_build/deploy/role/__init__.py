"""A function's execution role: what it needs and no more, what it has, and how it is made.

`policy` derives the rights from the configuration, `breadth` compares them with what IAM tells, `make`
creates or updates the role. Only `make` changes anything.
"""
