"""The path over beta: branches followed, events located, the curve between its points.

`anneal` is the door; `branch`, `maxima`, `touching` and `crossing` are batches of root findings, `chain` and `events` put them together.
"""
