"""The engine: one code path for every distortion, many betas of one problem at once."""
