#!/usr/bin/env python3
"""What the documents say of the tree: documents.py LATHE ROOT. README.md and doc/walk.md name
commands, folders, files, functions, structs and passes; each must be there, and lists complete. Each
test_* function is a test; needs nothing but Python."""
import glob
import os
import re
import subprocess
import sys

LATHE, ROOT = map(os.path.abspath, sys.argv[1:3])
DOCUMENTS = "README.md", "CONTRIBUTING.md", "doc/walk.md"


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def sources():
    return "".join(read(p) for p in sorted(glob.glob(os.path.join(ROOT, "src/*/*.[chd]*"))))


def same(got, want, what):
    assert got == want, f"{what}: {got}, not {want}"


def is_there(name):
    """A path from the root or from src, or a name alone that is found in some folder of src; may hold *."""
    return any(glob.glob(os.path.join(ROOT, place, name)) for place in ("", "src", "src/*"))


def test_files():
    for document in DOCUMENTS:
        for name in re.findall(r"`([\w./*-]+\.(?:[ch]|def|md|txt|csv))`", read(document)):
            if os.path.basename(name).startswith("X."): # any one
                continue
            assert is_there(name), f"{document}: there is no {name}"


def test_functions():
    text = sources()
    for name in re.findall(r"`([a-z]+_\w+)(?:\([^`]*)?`", read("doc/walk.md")):
        if not name.endswith("_X"): # any one
            assert re.search(rf"\b{name}\b", text), f"doc/walk.md: there is no {name}"


def test_structs():
    rows = re.findall(r"^\| (`.*) \| `(\S+)` \|", read("doc/walk.md"), re.M)
    assert len(rows) >= 7, rows
    for structs, header in rows:
        for name in re.findall(r"`(\w+)`", structs):
            assert re.search(rf"typedef (struct|uint32_t) {name}\b", read(f"src/{header}")), f"{name} is not in {header}"


def test_passes():
    """The list in the anatomy of a pass is pass.def, in order."""
    section = read("doc/walk.md").split("## Anatomy of a pass")[1].split("\n## ")[0]
    listed = re.search(r"In order: (.*?)\.\n", section, re.S)
    assert listed, "there is no list of passes"
    same(re.findall(r"\w+", listed[1]), re.findall(r"^PASS\((\w+),", read("src/pass/pass.def"), re.M), "passes")


def test_commands():
    said = subprocess.run([LATHE, "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    have = set(re.findall(r"^    lathe (\w+) ", said, re.M))
    use = read("README.md").split("## Use")[1].split("\n## ")[0]
    same(set(re.findall(r"^    lathe (\w+) ", use, re.M)), have, "commands")


def test_options():
    """An option that a document names is one of some command."""
    have = ""
    for name in re.findall(r"^    lathe (\w+) ", subprocess.run([LATHE, "--help"], stdout=subprocess.PIPE, text=True).stdout, re.M):
        have += subprocess.run([LATHE, name, "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    have += subprocess.run([LATHE, "watch", "learn", "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    for document in "README.md", "doc/walk.md":
        text = "\n".join(re.findall(r"^    lathe .*$|`-[^`]*`|`lathe [^`]*`", read(document), re.M))
        for option in set(re.findall(r"(?<![\w-])--[\w-]+", text)) - {"--help"}:
            assert re.search(rf"{option}\b", have), f"{document}: no command has {option}"


def test_folders():
    folders = re.findall(r"^    (\w+)  ", read("README.md").split("## Folders")[1], re.M)
    layers = [line for line in read("doc/layers").splitlines() if line and line[0] != "#"]
    same(folders, [name for name in layers if os.path.isdir(os.path.join(ROOT, "src", name))], "folders")


def test_structs_of_benches():
    """bench/peers/lathe_api.py repeats structs of include/lathe.h for Python: the same members in the same order."""
    header = re.sub(r"/\*.*?\*/", "", read("include/lathe.h"), flags=re.S)
    python = read("bench/peers/lathe_api.py")
    for name, class_name in ("error", "Error"), ("tensor", "Tensor"), ("bind", "Bind"), ("options", "Options"):
        body = re.search(rf"typedef struct lathe_{name} {{(.*?)}} lathe_{name};", header, re.S)[1]
        members = [re.search(r"(\w+)(\[\w+\])*$", part.strip())[1] for line in body.split(";") for part in line.split(",") if part.strip()]
        fields = re.search(rf"class {class_name}\(.*?_fields_ = \[(.*?)\]\n", python, re.S)[1]
        same(re.findall(r'\("(\w+)"', fields), members, f"bench/peers/lathe_api.py, {class_name}")


def test_check_all():
    """A part that is not there is refused, and no success; the help names all."""
    program = os.path.join(ROOT, "scripts/check-all")
    done = subprocess.run([program, "asn"], capture_output=True, text=True)
    assert done.returncode == 1 and "no part 'asn'" in done.stderr, done
    parts = re.search(r": (\w+(?:, \w+)+), or", done.stderr)[1].split(", ")
    said = subprocess.run([program, "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    same(re.search(r"all parts: (.*)", said)[1].split(", "), parts, "check-all --help")


def main():
    failed = 0
    for name, test in list(globals().items()):
        if not name.startswith("test_"):
            continue
        try:
            test()
            print(f"{name}: passed")
        except AssertionError as e:
            failed += 1
            print(f"{name}: FAILED: {e}")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
