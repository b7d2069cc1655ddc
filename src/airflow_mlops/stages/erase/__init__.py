"""Stage ``erase``: rows of a person leave every table of a dataset, with a record of that."""

from __future__ import annotations
