"""Reading ahead and writing behind: threads that end with the block that needs them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")
Args = ParamSpec("Args")


def ahead(items: Iterable[Item], make: Callable[[Item], Made]) -> Generator[tuple[Item, Made]]:
    """What is made of each item, made in a thread while the caller works on the one before.

    Close it (`contextlib.closing`) where the caller may leave before the end: its thread ends then.

    Args:
        items: in order.
        make: called in the thread, one item at a time; at most one result waits.

    Yields:
        Each item and what was made of it. What `make` raises is raised here, in that item's turn.
    """
    reader = ThreadPoolExecutor(1, "reading-ahead")
    try:
        waiting: deque[tuple[Item, Future[Made]]] = deque()
        for item in items:
            waiting.append((item, reader.submit(make, item)))
            if len(waiting) > 1:
                yield _result(waiting)
        while waiting:
            yield _result(waiting)
    finally:
        reader.shutdown(cancel_futures=True)


def _result(waiting: deque[tuple[Item, Future[Made]]]) -> tuple[Item, Made]:
    item, future = waiting.popleft()
    return item, future.result()


@contextmanager
def behind(work: Callable[Args, None]) -> Iterator[Callable[Args, None]]:
    """A function that does `work` in a thread: one call at a time, in order, at most one waiting.

    What `work` raises is raised by the next call, or when the block ends. Where the block fails, the work
    that was handed over is still done.
    """
    with ThreadPoolExecutor(1, "writing-behind") as writer:
        under_way: deque[Future[None]] = deque()

        def hand_over(*args: Args.args, **kwargs: Args.kwargs) -> None:
            while len(under_way) > 1:
                under_way.popleft().result()
            under_way.append(writer.submit(work, *args, **kwargs))

        yield hand_over
        while under_way:
            under_way.popleft().result()
