"""Run ``lawm`` from the root of a checkout: ``python -m cli``."""

from lawm_cli.entry import lawm

raise SystemExit(lawm())
