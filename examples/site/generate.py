"""generate.py FROM TO: a page for each text, and an index."""
import html
import pathlib
import sys

source, out = map(pathlib.Path, sys.argv[1:])
out.mkdir()
names = sorted(p.stem for p in source.glob("*.txt"))
for name in names:
    text = html.escape((source / f"{name}.txt").read_text())
    (out / f"{name}.html").write_text(f"<!doctype html><title>{name}</title><p>{text}")
links = "".join(f'<li><a href="{n}.html">{n}</a>' for n in names)
(out / "index.html").write_text(f"<!doctype html><title>Index</title><ul>{links}</ul>")
