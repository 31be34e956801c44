"""`python -m supervisors.cli`: actorctl, for a process that is started by its interpreter."""

import sys

from supervisors.cli.main import main

sys.exit(main())
