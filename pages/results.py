"""Results: the verdict first, then hectares, what they rest on, and the files to take away."""

from minedetect.runs import EVALUATION, SUMMARY
from minedetect.ui import downloads, frame, pictures, results, scores, watch

with frame.page("Results"):
    run = results.chosen_run()
    if run is not None:
        if watch.progress(run):
            results.unfinished()
        summary = results.read(run, SUMMARY)
        evaluation = results.read(run, EVALUATION)

        if summary is not None:
            results.verdict(summary)
            results.headline(summary)
            results.ledger(summary)
            results.per_mine(summary)
        elif evaluation is not None:
            results.no_comparison()

        pictures.show(run)

        if evaluation is not None:
            scores.evaluation(evaluation)
        scores.learning_curve(run)

        if summary is not None:
            results.facts(summary)
        downloads.show(run)
