"""Run the command line as ``python -m rs_monitor``."""

from rs_monitor.cli import main

if __name__ == "__main__":
    main()
