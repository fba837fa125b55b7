"""`python -m data_pipeline.penetration`: the command of `data_pipeline.simulated.penetration`."""

import sys

from data_pipeline.simulated.penetration import main

if __name__ == "__main__":
    sys.exit(main())
