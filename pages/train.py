"""Train: how the model learns while it learns, how healthy that is, and how to start, stop and go on."""

from minedetect.runs import STATUS
from minedetect.ui import choice, frame, start, training

with frame.page("Train"):
    run, offered = None, False
    with frame.in_words():
        run = choice.chosen_run(drafts=True)
        if run is not None and run.has(STATUS):
            offered = training.show(run)

    # One main button a page: go on with the run above, see its results, or else start one.
    start.form(run, main=not offered)
