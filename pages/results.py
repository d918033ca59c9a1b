"""Results: the verdict first, then hectares, what they rest on, and the files to take away."""

from minedetect.runs import EVALUATION, SUMMARY
from minedetect.ui import choice, downloads, frame, pictures, results, results_map, samples, scores, watch

with frame.page("Results"):
    run = choice.chosen_run()
    if run is not None:
        if watch.progress(run):
            results.unfinished()
        summary = results.read(run, SUMMARY)
        evaluation = results.read(run, EVALUATION)

        if summary is not None:
            results.verdict(summary)
            results.headline(summary)
            results.ledger(summary)
            results_map.show(run, summary)
            samples.show(run, summary)
        elif evaluation is not None:
            results.no_comparison()

        pictures.show(run)

        if evaluation is not None:
            scores.evaluation(evaluation)
        scores.learning_curve(run)

        if summary is not None:
            results.facts(summary)
        downloads.show(run)
