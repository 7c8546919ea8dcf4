"""Lays out and draws one DOT file with the Graphviz library inside the pygraphviz wheel.

Run as a program, in a process of its own, because a layout in the library can neither be stopped nor survive a crash of
the library: `graphviz_worker.py ENGINE FORMAT SOURCE TARGET`. Imports nothing of this package.
"""

import sys


def main(engine: str, form: str, source: str, target: str) -> None:
    import pygraphviz

    with open(source, encoding="utf-8") as file:
        graph = pygraphviz.AGraph(file.read())
    graph.draw(target, format=form, prog=engine)


if __name__ == "__main__":
    main(*sys.argv[1:])
