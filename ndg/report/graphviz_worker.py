"""Program that draws a DOT file with pygraphviz.

    graphviz_worker.py ENGINE FORMAT SOURCE TARGET

It runs in its own process, because a layout in the library cannot be stopped and may crash. It imports nothing of
`ndg`.
"""

import sys


def main(engine: str, form: str, source: str, target: str) -> None:
    import pygraphviz

    with open(source, encoding="utf-8") as file:
        graph = pygraphviz.AGraph(file.read())
    graph.draw(target, format=form, prog=engine)


if __name__ == "__main__":
    main(*sys.argv[1:])
