import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from minedetect.threads import ahead, behind

WAIT_S = 20


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def test_items_come_in_order_with_what_was_made_of_them() -> None:
    assert list(ahead(range(7), lambda n: n * n)) == [(n, n * n) for n in range(7)]
    assert list(ahead([], lambda n: n)) == []


def test_the_next_item_is_made_while_the_caller_works() -> None:
    made = [threading.Event() for _ in range(5)]
    for item, _ in ahead(range(5), lambda n: made[n].set()):
        if item + 1 < 5:
            assert made[item + 1].wait(WAIT_S)


def test_no_more_than_one_item_is_made_ahead() -> None:
    made = list[int]()
    with closing(ahead(range(9), made.append)) as items:
        for item, _ in items:
            assert len(made) <= item + 2


def test_what_making_raises_comes_in_its_turn() -> None:
    seen = list[int]()

    def make(n: int) -> float:
        return 1 / (3 - n)

    with pytest.raises(ZeroDivisionError):
        seen.extend(item for item, _ in ahead(range(9), make))
    assert seen == [0, 1, 2]


def test_a_caller_who_leaves_early_leaves_no_thread() -> None:
    def leaves() -> None:
        with closing(ahead(range(9), str)) as items:
            for _ in items:
                raise KeyError

    with pytest.raises(KeyError) as kept:
        leaves()
    assert kept.tb is not None  # the frames still live, the thread does not


def test_work_is_done_behind_in_order() -> None:
    go_on, done = threading.Event(), list[int]()

    def work(n: int) -> None:
        assert go_on.wait(WAIT_S)
        done.append(n)

    with behind(work) as hand_over:
        hand_over(1)
        hand_over(2)
        assert done == []
        go_on.set()
        for n in range(3, 9):
            hand_over(n)
            assert len(done) >= n - 2, "more than one piece waits"
    assert done == [1, 2, 3, 4, 5, 6, 7, 8]


def test_what_work_raises_is_raised_at_the_end_at_the_latest() -> None:
    def work(n: int) -> None:
        raise OSError(n)

    with pytest.raises(OSError, match="1"), behind(work) as hand_over:
        hand_over(1)


def test_work_handed_over_is_done_also_when_the_block_fails() -> None:
    done = list[int]()

    def fails() -> None:
        with behind(done.append) as hand_over:
            hand_over(1)
            hand_over(2)
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert done == [1, 2]
