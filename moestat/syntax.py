"""Python expressions, parsed and never run."""

from __future__ import annotations

import ast

#: Deeper nesting is refused: what reads the tree afterwards recurses.
MAX_DEPTH = 100


def expression(text: str) -> ast.expr:
    """The syntax tree of one expression.

    Raises
    ------
    SyntaxError
        Whatever is wrong with the text: the parser itself has four kinds of errors.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(str(error)) from None
    if _depth(tree) > MAX_DEPTH:
        raise SyntaxError(f"nested more than {MAX_DEPTH} deep")
    return tree


def _depth(tree: ast.AST) -> int:
    depth, level = 0, [tree]
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return depth
