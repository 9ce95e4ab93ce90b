"""Settings that hold for every test."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("workbench", deadline=None, database=None)
"""No deadline, since a busy machine is no fault of the code; no database, so that a checkout stays as it was."""

settings.load_profile("workbench")
