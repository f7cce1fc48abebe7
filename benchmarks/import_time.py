"""``import crmlytics`` as a whole process, less a Python that imports nothing; the best of ten, warm."""

import subprocess
import sys
import time


def best(code):
    times = []
    for _ in range(10):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    bare, ours, pandas = best("pass"), best("import crmlytics"), best("import pandas")
    ratio = (ours - bare) / (pandas - bare)
    print(f"import crmlytics {ours - bare:.3f} s, import pandas {pandas - bare:.3f} s: {ratio:.2f} x")
