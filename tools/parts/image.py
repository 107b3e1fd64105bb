"""Where the bytes of a firmware image are, from the symbols of its ELF file.

    image.py crate ELF      bytes of each crate, and for whose types it was made once more
    image.py function ELF   the largest functions and constants
    image.py panics ELF     who can panic, and in how many places
"""

import collections
import re
import subprocess
import sys

CRATE = re.compile(r"\b([a-z]\w*)\[[0-9a-f]+\]")
# Of the language, and of what runs other crates' futures: their generic code belongs to whom it was made for.
CARRIERS = ("core", "alloc", "embassy_executor", "embassy_futures", "embassy_sync", "embassy_embedded_hal", "heapless")
LARGEST = 100
WIDTH = 150
PANICS = re.compile(r"::panicking::|::(unwrap_failed|expect_failed|slice_index_fail|len_mismatch_fail)$")


def run(*command, given=None):
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout.splitlines()


def demangled(names):
    return run("arm-none-eabi-c++filt", given="\n".join(names))


def sections(elf):
    """What lies in flash: (name, address, size), from what objdump says of each section in two lines."""
    lines = run("arm-none-eabi-objdump", "-h", elf)
    for line, flags in zip(lines, lines[1:]):
        fields = line.split()
        if "LOAD" in flags and len(fields) == 7 and int(fields[2], 16):
            yield fields[1], int(fields[3], 16), int(fields[2], 16)


def symbols(elf):
    """What has a name and a size, each address once: (bytes, name)."""
    seen, found = set(), []
    loaded = list(sections(elf))
    for line in run("arm-none-eabi-nm", "-S", elf):
        fields = line.split(None, 3)
        if len(fields) < 4:
            continue
        address, size, name = int(fields[0], 16) & ~1, int(fields[1], 16), fields[3]
        if address not in seen and any(start <= address < start + length for _, start, length in loaded):
            seen.add(address)
            found.append((size, name))
    names = demangled([name for _, name in found])
    return [(size, raw, name) for (size, raw), name in zip(found, names)]


def owner(raw, name):
    """The crate whose path comes first, and the first other one among the types it was made for."""
    crates = CRATE.findall(name)
    if not crates:
        kind = "(outlined by the compiler)" if raw.startswith("OUTLINED_FUNCTION") else "(C and assembly)"
        return kind, ""
    others = [crate for crate in crates if crate != crates[0] and crate not in CARRIERS]
    return crates[0], others[0] if others else ""


def table(rows, total):
    for size, text in rows:
        print(f"{size:8} {100 * size / total:5.1f} %  {text}")


def by_crate(elf):
    total = sum(size for _, _, size in sections(elf))
    own, made_for = collections.Counter(), collections.defaultdict(collections.Counter)
    for size, raw, name in symbols(elf):
        crate, other = owner(raw, name)
        own[crate] += size
        made_for[crate][other] += size
    rest = total - sum(own.values())
    own["(constants without a name, and padding)"] = rest
    print(f"{total:8} bytes of flash\n")
    for crate, size in own.most_common():
        parts = [f"{other} {of}" for other, of in made_for[crate].most_common(4) if other and of >= 500]
        table([(size, crate + (": for " + ", ".join(parts) if parts else ""))], total)


def by_function(elf):
    total = sum(size for _, _, size in sections(elf))
    rows = sorted(((size, CRATE.sub(r"\1", name)[:WIDTH]) for size, _, name in symbols(elf)), reverse=True)
    print(f"{total:8} bytes of flash\n")
    table(rows[:LARGEST], total)


def panics(elf):
    calls, function = [], ""
    for line in run("arm-none-eabi-objdump", "-d", "--no-show-raw-insn", elf):
        if head := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            function = head[1]
        elif call := re.search(r"\tb[a-z.]*\s.*<([^+>]+)>$", line):
            calls.append((function, call[1]))
    names = sorted({name for call in calls for name in call})
    plain = dict(zip(names, (CRATE.sub(r"\1", name) for name in demangled(names))))
    places = collections.Counter(
        plain[caller] for caller, callee in calls if PANICS.search(plain[callee]) and not PANICS.search(plain[caller]))
    for function, count in sorted(places.items(), key=lambda row: (-row[1], row[0])):
        print(f"{count:4}  {function[:WIDTH]}")
    print(f"{sum(places.values())} places that can panic, in {len(places)} functions")


if __name__ == "__main__":
    {"crate": by_crate, "function": by_function, "panics": panics}[sys.argv[1]](sys.argv[2])
