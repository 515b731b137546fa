"""tern in Python: handlers that tern's workers run, and a client.

A handler is a function::

    import tern

    @tern.handler(tag="cpu")
    def double(job):
        return str(2 * int(job.payload))

``tern-worker --runner 'python3 -m tern.runner MODULE'`` offers it; ``tern submit --handler double --payload 21``, or
``tern.Client().run("double", b"21")``, runs it. The client needs pyzmq, which a runner does without.

While it runs a handler may say ``job.progress(percent)`` and ``job.log(line)``, ask ``job.should_stop()``, leave something to its next
attempt (``job.keep``, which that finds in ``job.checkpoint``), and have jobs of its own: ``job.spawn`` and ``job.spawn_many``,
``job.wait_children`` and ``job.wait_any``, ``job.child_result``. In an ``async def`` these five and ``keep`` are awaited. To fail it
raises ``tern.Failed`` (a retry may help) or ``tern.FailedForGood``.
"""

from .asks import AskFailed, Child, ChildEnd, ChildFailed, Failed, FailedForGood, Stopped, child
from .handlers import Handler, Job, handler

__all__ = ["AskFailed", "Busy", "Child", "ChildEnd", "ChildFailed", "Client", "Failed", "FailedForGood", "Handler", "Job",
           "JobFailed", "NoBroker", "Refused", "Stopped", "TernError", "child", "handler"]


def __getattr__(name: str):
    """The client, when it is asked for: a runner starts faster without it."""
    if name in ("Busy", "Client", "JobFailed", "NoBroker", "Refused", "TernError"):
        from . import client
        return getattr(client, name)
    raise AttributeError(f"module 'tern' has no attribute {name!r}")
