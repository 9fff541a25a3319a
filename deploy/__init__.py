"""Sets up a machine that one reaches by SSH, sends it the project, and runs experiments there."""
