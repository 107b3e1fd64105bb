"""Runs each recorded case of the original tool with the Linux and the Windows program, and compares what they leave and say.

    windows.py WINE WINDOWS_PROGRAM LINUX_PROGRAM CASES.json
"""

import hashlib
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile


def image(rule):
    """The image a case asks for: SHA-256 over seed and block counter, block after block."""
    blocks = (hashlib.sha256(rule["seed"].encode() + n.to_bytes(4, "big")).digest() for n in itertools.count())
    return b"".join(itertools.islice(blocks, rule["length"] // 32 + 1))[: rule["length"]]


def run(program, case):
    """Exit code, output, and the certificates that are left, of one run."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / case["bin_file"]).write_bytes(image(case["bin"]))
        (folder / case["map_file"]).write_text(case["map_text"])
        done = subprocess.run([*program, *case["argv"]], cwd=folder, input=case["stdin"].encode(), capture_output=True, check=False)
        left = {path.name: path.read_bytes() for path in folder.iterdir() if "pem" in path.name or path.name.startswith(".tmp")}
        said = [text.decode(errors="replace").replace("\r\n", "\n").replace("dps-cert-gen.exe", "dps-cert-gen")
                for text in (done.stdout, done.stderr)]
        return done.returncode, left, *said


def main():
    wine, windows, linux, cases = sys.argv[1:]
    different = 0
    cases = json.loads(pathlib.Path(cases).read_text())["cases"]
    for case in cases:
        ours, theirs = run([linux], case), run([wine, windows], case)
        # What the system says of a missing file is in its own words.
        said_differently = ours[:2] == theirs[:2] and "input_file_missing" in case["original"]["errors"]
        if ours != theirs and not said_differently:
            different += 1
            print(f"{case['name']}: on Linux {ours}\non Windows {theirs}")
    print(f"windows: {len(cases) - different} of {len(cases)} recorded runs of dps-cert-gen give the same as on Linux")
    sys.exit(different != 0)


main()
