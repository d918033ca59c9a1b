"""Overview: the way through the pages, the runs, what they found, and what to do first."""

from minedetect.ui import frame, guide, overview

with frame.page("Where is mining new, and where has it gone?"):
    overview.introduction()
    guide.show()

    # One main button a page: build the built-in district, or else open the latest result.
    offered = overview.demo_button()

    overview.in_the_making()
    overview.runs(lead_to_results=not offered)
