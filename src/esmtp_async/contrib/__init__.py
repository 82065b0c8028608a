"""Glue to what others wrote: optional, and behind none of the three doors.

Each module stands for itself and is imported by its own name, by whoever has what it
glues to: `esmtp_async.contrib.django`; `esmtp_async.contrib.logging` needs nothing.
"""
