"""Runs the script that is named several times in one process, some seconds
apart: repeat.py SCRIPT TIMES SECONDS."""

import runpy
import sys
import time

script, times, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
for i in range(times):
    if i > 0:
        time.sleep(seconds)
    runpy.run_path(script, run_name="__main__")
