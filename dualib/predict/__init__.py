"""How good clusters are on what was held out: comparisons, scores, and the estimators for scikit-learn."""
