"""The path over beta: branches followed, events located, the curve between its points.

`anneal` is the door and `points` what it solves first; `events` explains every link of a `chain` of solutions, by batches of root
findings along each `branch`: `touching` (`births`, deaths, splits, about where the link's ends tell, `inside`; `maxima` beside the
atoms; `beyond`, what grows out of them) and `crossing` (jumps).
"""
