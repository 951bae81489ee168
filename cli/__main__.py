"""Run ``lawm`` from the root of a checkout: ``python -m cli``."""

from lawm_cli.app import main

raise SystemExit(main())
