"""Names of `dualib.engine.choice` and `dualib.engine.sparse` under which others still import them."""

from dualib.engine.choice import engine_problem as engine_problem
from dualib.engine.choice import problem_of as problem_of
from dualib.engine.choice import solves_sparse as solves_sparse
from dualib.engine.sparse import SparseProblem as SparseProblem
