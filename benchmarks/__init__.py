"""Peers side by side: ``nox -s bench`` runs them all and writes docs/performance.md.

Every client runs in a process of its own, so does every server and the relay that
stands for a long line. What is compared runs in turn, in rounds, and is judged by the
ratio within a round: the machine may be as noisy as it likes.
"""
