"""The report: a run's results, and one video's scores, as pages to look at."""

from cpml_jax.report.page import write

__all__ = ["write"]
