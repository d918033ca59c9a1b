"""Compare: two to four runs side by side, in settings, curves, scores and hectares; and runs to delete."""

from minedetect.ui import comparison, deletion, frame

with frame.page("Compare"):
    runs = comparison.chosen_runs()
    if runs:
        comparison.links(runs)
        comparison.hectares(runs)
        comparison.scores(runs)
        comparison.settings(runs)
        comparison.curves(runs)
    deletion.offer()
