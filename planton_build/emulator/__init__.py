"""Lambda's control plane as AWS documents it, refusals and waiting included, for tests and `--local`.

Nothing here knows how the tool deploys: it must not share that code's mistakes. Other services are moto's.
"""
