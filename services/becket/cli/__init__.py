"""The command line ``becket``: for people at a terminal, and for scripts.

Owns words, options, output and exit codes. Must not decide anything about data: operations go
through the client library, questions about the cluster to its services, processes to the keeper.

What a command needs is imported when it runs, so that help and completion answer at once.
"""
