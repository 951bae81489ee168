"""Ray is optional."""

import socket
import subprocess
import sys

import pytest
from lawm_schemas import ConfigError

from lawm_data.system.workers import executor


def test_missing_ray_is_one_line() -> None:
    code = (
        "import sys; sys.modules['ray'] = None\nfrom lawm_data.system.workers import executor\n"
        "try: executor('ray')\nexcept Exception as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (
        done.stdout == "--backend ray: Ray is not installed; install it: pip install 'lawm[ray]'\n"
    )


def test_an_address_where_nothing_listens_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(
        ConfigError, match=f"RAY_ADDRESS {address}: no Ray cluster answers: .*refused"
    ):
        next(iter(executor("ray")(lambda: str, [1])))
