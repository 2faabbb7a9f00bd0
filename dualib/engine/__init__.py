"""The engine: all betas of one problem at once, for any distortion.

`Problem` is the reduced table, `Batch` the clusters of many solutions in one flat list, `Sweep` one evaluation of all of them;
`descend` lowers every objective, `price` looks for points of c > 1, and `optimum` repeats both until every gap is closed.
"""
