"""Ray is optional."""

import subprocess
import sys


def test_missing_ray_is_one_line() -> None:
    code = (
        "import sys; sys.modules['ray'] = None\nfrom lawm_data.system.workers import executor\n"
        "try: executor('ray')\nexcept Exception as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (
        done.stdout == "--backend ray: Ray is not installed; install it: pip install 'lawm[ray]'\n"
    )
