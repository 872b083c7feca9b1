"""Runs one piece of documentation: Python that may await at its top level.

python -m tests.docs.block FILE [ARGUMENT ...]
"""

import ast
import asyncio
import inspect
import sys
from pathlib import Path

if __name__ == "__main__":
    file, *sys.argv[1:] = sys.argv[1:]
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(Path(file).read_text(), file, "exec", flags=flags)
    result = eval(code, {"__name__": "__main__", "__file__": file})
    if inspect.iscoroutine(result):
        asyncio.run(result)
