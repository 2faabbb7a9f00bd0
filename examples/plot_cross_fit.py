"""How much of a curve is the sample's?
====================================

Cross-fitting on counts of which the truth is known.

3,000 observations of 120 x and 8 y, where p(y|x) takes six values: the plug-in relevance says that every x counts, the encoders
measured on the half that did not choose them say what there is, and the held-out log loss chooses a beta.

.. image:: ../images/cross-fit.png
"""

# sphinx_gallery_thumbnail_path = "images/cross-fit.png"
import os

import numpy as np

import dualib
from dualib import information

QUICK = bool(os.environ.get("DUALIB_QUICK_EXAMPLES"))  # the test suite asks for a small size

rng = np.random.default_rng(1)
p = rng.dirichlet(np.ones(8), 6)[rng.integers(6, size=120)] / 120
counts = rng.multinomial(3000, p.ravel()).reshape(p.shape)

print(f"I(X;Y): true {information.mutual_information(p):.4f}, plug-in {information.mutual_information(counts):.4f} nats")
for name in ("miller_madow", "grassberger", "chao_shen", "nsb", "shuffled"):
    print(f"  {name:12s} {getattr(information, f'mutual_information_{name}')(counts):.4f}")

betas, n_splits = ([6.2, 60], 2) if QUICK else ([3.5, 4.5, 6.2, 9, 14, 25, 60], 5)
result = dualib.cross_fit(counts, "ib", betas, n_splits)
true = np.array([information.mutual_information(solution.encoder.T @ p) for solution in result.solutions])
print(result)
print("truth of the encoders on all counts", true.round(4))

axes = result.plot()
axes[0].plot(result.beta, true, color="0.2", ls="--", marker="x", label="true, of the encoder in the sample")
axes[0].legend(fontsize=8)
axes[0].figure.savefig("cross-fit.png", dpi=110)
