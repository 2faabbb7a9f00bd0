"""Every combination of problems, distortions, seeds and betas, on many cores: the same bits however many."""
